"""What `make monitor` gives to Prometheus, and what it says where there is none."""

import pytest

from tools import monitor


def test_it_watches_the_service_of_this_machine_with_the_projects_rules() -> None:
    config = monitor.prometheus_config("127.0.0.1:8000", "127.0.0.1:9093")
    (job,) = config["scrape_configs"]
    assert (job["job_name"], job["static_configs"]) == ("mlapi", [{"targets": ["127.0.0.1:8000"]}])
    assert config["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["127.0.0.1:9093"]}]}]
    (pattern,) = config["rule_files"]
    assert list(monitor.MONITORING.glob(str(pattern).removeprefix(f"{monitor.MONITORING}/")))


def test_without_alertmanager_it_sends_alerts_nowhere() -> None:
    assert "alerting" not in monitor.prometheus_config("127.0.0.1:8000", None)


def test_without_prometheus_it_says_where_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(monitor, "find_program", lambda _: None)
    assert monitor.main() == 1
    assert "make tools" in capsys.readouterr().err
