"""Every hostile request of the corpus is answered with the status that its file is named after."""

import asyncio
from pathlib import Path

from soak.corpus import Entry, read_corpus
from soak.record import status_of
from tests.e2e.api_keys import KeysFile, bearer
from tests.service_process import ServiceProcess

_PATIENCE_S = 5.0


def test_the_corpus_is_answered_as_it_says(tmp_path: Path) -> None:
    keys = KeysFile(tmp_path)
    headers = bearer(keys.add("corpus"))

    async def ask(port: int, entries: list[Entry]) -> list[str]:
        wrong = []
        for entry in entries:
            # An answer is awaited for as long as it takes, and that there is none only for a moment.
            wait_s = _PATIENCE_S if entry.status else 0.05
            status = await status_of(port, entry.request(headers), wait_s=wait_s)
            if status != entry.status:
                wrong.append(f"{entry.name}: {status}")
        return wrong

    with ServiceProcess(keys_file=str(keys.path)) as service:
        assert asyncio.run(ask(service.port, read_corpus())) == []
        assert service.complaints == []
        assert service.metric("mlapi_http_requests_total", status="500") == 0
