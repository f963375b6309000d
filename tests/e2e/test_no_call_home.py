"""The service starts, answers and stops without asking anybody for anything: it runs where there is no internet."""

from pathlib import Path

from tests.e2e.watched_service import RECORD
from tests.service_process import ServiceProcess


def test_nothing_goes_out(tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.touch()
    with ServiceProcess(environment={RECORD: str(record)}, module="tests.e2e.watched_service") as service:
        for text in ("a text that is new", "and another one"):
            assert service.predict(text).status_code == 200
        assert service.client.get("/metrics").status_code == 200
    # Its own address is looked up, to listen on it.
    lines = [line for line in record.read_text(encoding="utf-8").splitlines() if "'127.0.0.1'" not in line]
    assert lines == []


def test_what_goes_out_is_seen(tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.touch()
    elsewhere = "redis://cache.invalid:6379/0"
    with ServiceProcess(
        environment={RECORD: str(record)}, module="tests.e2e.watched_service", redis_url=elsewhere, engine="fake"
    ) as service:
        assert service.predict("a text").status_code == 200
    assert "cache.invalid" in record.read_text(encoding="utf-8")
