"""`make run` on a terminal: Ctrl-C stops the service, and make ends with the service's own word on how that went."""

import os
import pty
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.architecture.source_rules import ROOT
from tools.serve import FEEDBACK_VARIABLE

CTRL_C = b"\x03"
CTRL_Z = b"\x1a"

# Stops on SIGINT with the exit code that it is given.
SERVICE = """
import signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit(int(sys.argv[1])))
print("serving", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def makefile(tmp_path: Path) -> Path:
    (tmp_path / "service.py").write_text(SERVICE, encoding="utf-8")
    path = tmp_path / "Makefile"
    command = f"{sys.executable} -m tools.serve {sys.executable} {tmp_path}/service.py"
    path.write_text(f"clean:\n\t@exec {command} 0\n\nfailing:\n\t@exec {command} 3\n", encoding="utf-8")
    return path


def on_a_terminal(command: str, keys: bytes) -> str:
    """Run a shell command on a terminal of its own, type the keys once it serves, and return all that is shown."""
    terminal, other_end = pty.openpty()
    # A session's leader that opens a terminal owns it from then on.
    script = f"exec 0<>{os.ttyname(other_end)} 1>&0 2>&0; {command}"
    environment = {**os.environ, "MLAPI_REDIS_URL": ""}
    with ExitStack() as stack:
        stack.enter_context(subprocess.Popen(["sh", "-c", script], cwd=ROOT, env=environment, start_new_session=True))
        # A terminal that closes takes everything on it along, stuck or not.
        stack.callback(os.close, terminal)
        shown = b""
        while b"serving" not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, keys)
        os.close(other_end)
        with suppress(OSError):  # how Linux says that nobody has the other end open any more
            while True:
                shown += os.read(terminal, 1024)
    return shown.decode()


def test_a_clean_stop_is_a_success(makefile: Path) -> None:
    assert "make said 0" in on_a_terminal(f"make -f {makefile} clean; echo make said $?", CTRL_C)


def test_a_stop_that_fails_is_a_failure(makefile: Path) -> None:
    shown = on_a_terminal(f"make -f {makefile} failing; echo make said $?", CTRL_C)
    assert "Error 3" in shown
    assert "make said 2" in shown


def test_suspending_does_not_strand_the_terminal(makefile: Path) -> None:
    assert "make said 0" in on_a_terminal(f"make -f {makefile} clean; echo make said $?", CTRL_Z + CTRL_C)


def test_the_terminal_is_given_back(makefile: Path) -> None:
    command = f"make -f {makefile} clean; read -r answer; echo answered $answer"
    assert "answered yes" in on_a_terminal(command, CTRL_C + b"yes\n")


@pytest.mark.parametrize("given", [None, "", "sqlite:///mine.db"])
def test_opinions_are_kept_in_the_data_folder_unless_something_else_is_said(given: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != FEEDBACK_VARIABLE}
    if given is not None:
        environment[FEEDBACK_VARIABLE] = given
    show = f"import os; print(os.environ['{FEEDBACK_VARIABLE}'])"
    done = subprocess.run(
        [sys.executable, "-m", "tools.serve", sys.executable, "-c", show],
        cwd=ROOT,
        env={**environment, "MLAPI_REDIS_URL": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == (f"sqlite:///{ROOT}/data/feedback.db" if given is None else given)
