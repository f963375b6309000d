"""The pages in a real Chromium: both colour schemes, narrow and wide, by keyboard, without scripts, with keys."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn

from mlapi.app import create_app
from mlapi.feedback.sqlite import SqliteDatabase
from mlapi.feedback_app import require_store
from mlapi.settings import read_settings
from tests.architecture.source_rules import ROOT
from tests.e2e.api_keys import KeysFile
from tests.programs import find_program, miss
from tests.service_process import HOST, ServiceProcess, eventually
from tests.unit.api.test_learning_page import happened

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

PROGRAM: Final = Path(__file__).parent / "browser" / "page.mjs"
PACKAGES: Final = ROOT / ".tools" / "browser"


@contextmanager
def without_a_model() -> Iterator[str]:
    """Serve the application before its models are loaded, which `mlapi serve` does not do; yields the address."""
    app = create_app(read_settings({}), {})
    server = uvicorn.Server(uvicorn.Config(app, host=HOST, port=0, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started, "listening")
        yield f"http://{HOST}:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def learned(folder: Path) -> dict[str, Any]:
    """Return the settings of a learning loop in which a model was promoted, one rejected, and a run waits."""
    settings = {
        "feedback_url": f"sqlite:///{folder}/learning.db",
        "learn_file": str(ROOT / "training" / "learning.toml"),
    }
    store = require_store(read_settings({f"MLAPI_{name.upper()}": value for name, value in settings.items()}))
    database = SqliteDatabase(folder / "learning.db", store.fingerprint)
    happened(database)
    database.close()
    return settings


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Chromium saw. `PAGE_PICTURES` names a folder to keep its pictures in."""
    chromium = shutil.which("chromium")
    if chromium is None or not (PACKAGES / "installed").exists():
        miss("tools/browser.sh")
    node = find_program("node", "tools/clients.sh")
    folder = tmp_path_factory.mktemp("page")
    keys = KeysFile(folder)
    key = keys.add("visitor", scopes=["predict", "feedback"])
    pictures = os.environ.get("PAGE_PICTURES", str(folder))
    with (
        ServiceProcess(feedback_url=f"sqlite:///{folder}/feedback.db") as service,
        ServiceProcess(keys_file=str(keys.path)) as keyed,
        without_a_model() as unready,
        ServiceProcess(command=("learn", "serve"), **learned(folder)) as learning,
    ):
        done = subprocess.run(
            [node, PROGRAM, service.url, keyed.url, str(key), unready, learning.url, pictures, PACKAGES],
            env=os.environ | {"CHROMIUM": chromium},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_nothing_is_loaded_from_elsewhere_and_the_policy_stops_nothing(seen: dict[str, Any]) -> None:
    assert (seen["elsewhere"], seen["console"]) == ([], [])


def test_it_is_readable_in_both_schemes_and_at_every_width(seen: dict[str, Any]) -> None:
    assert {name: found for name, found in seen["barriers"].items() if found} == {}
    assert len(seen["barriers"]) == 17
    assert {name: width for name, width in seen["overflow"].items() if width > 0} == {}
    assert seen["colours"]["light-360"] == seen["colours"]["light-1440"] != seen["colours"]["dark-360"]
    assert all("POSITIVE, 9" in said for said in seen["answers"].values())


def test_a_long_text_says_what_the_model_read(seen: dict[str, Any]) -> None:
    assert "the model read 512 tokens, and not the rest" in seen["long"]


def test_words_are_marked_by_what_they_speak_for(seen: dict[str, Any]) -> None:
    assert seen["marked"] > 0


def test_a_keyboard_is_enough(seen: dict[str, Any]) -> None:
    to_the_answer = ["lab", "text", "Classify", "result"]
    explained = ["Explain this answer", "result", "All effects, in log-odds", "NEGATIVE"]
    assert seen["keyboard"] == [*to_the_answer, *explained, "result"]


def test_no_script_is_needed(seen: dict[str, Any]) -> None:
    assert seen["plain"] == ["/project/", "No script\nwas needed <i>here</i>.", "Your opinion was taken. Thank you."]


def test_a_key_stays_in_its_field(seen: dict[str, Any]) -> None:
    in_address, in_page, field = seen["private"]
    assert (in_address, in_page, field.startswith("mlapi_")) == (False, False, True)
    assert seen["kept"] == 0
    assert seen["links"] == ["lab"]


def test_a_model_that_is_not_loaded_is_said_to_be(seen: dict[str, Any]) -> None:
    assert "No texts are classified now: the model is still loading." in seen["unready"]


def test_the_learning_loop_can_be_read_and_stays_a_table_at_every_width(seen: dict[str, Any]) -> None:
    assert set(seen["lines"]) == {"360", "768", "1440"}
    for width, lines in seen["lines"].items():
        assert len(lines) > 20
        assert set(lines) == {1}, width
    assert seen["cells"] == {"360": [3, 5], "768": [3, 5], "1440": [3, 5]}


def test_the_documentation_is_no_column_of_letters(seen: dict[str, Any]) -> None:
    assert seen["narrowest"] > 200


def test_the_documentation_tries_requests_out(seen: dict[str, Any]) -> None:
    assert [seen[name].strip()[:3] for name in ("docs", "docs-keyed")] == ["200", "200"]
