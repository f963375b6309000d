"""The service that the clients are tested with: it takes few texts at a time, and opinions."""

from collections.abc import Iterator

import pytest

from tests.service_process import ServiceProcess


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("feedback")
    with ServiceProcess(
        engine="fake", max_texts="10", max_body_bytes="4000", feedback_url=f"sqlite:///{folder}/feedback.db"
    ) as process:
        yield process
        assert process.complaints == []
