"""What `make run` runs: a command with a Redis and a store of opinions of its own, as the terminal's foreground job.

Without the second half Ctrl-C would reach make too, and make ends by the signal even when the service stopped cleanly
and said so with exit code 0. Nothing can be done for a signal that is sent to make itself: make passes SIGTERM on,
waits until the service has stopped, and then ends by that signal; SIGINT it does not pass on.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tools import private_redis

FEEDBACK_VARIABLE: Final = "MLAPI_FEEDBACK_URL"
DATA: Final = Path(__file__).resolve().parent.parent / "data"
"""Kept from one run to the next; not part of the repository."""


@contextmanager
def foreground() -> Iterator[None]:
    """Take the terminal from those we share a process group with, and give it back; do nothing where there is none."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield
        return
    before = os.tcgetpgrp(terminal)
    if before != os.getpgrp() or before == os.getpid():
        # In the background, or started by the shell itself: Ctrl-C reaches the right ones already.
        yield
        return
    # Ctrl-Z would stop only us: the shell, which watches make, would not notice and the terminal would hang.
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    # The terminal is changed from outside its foreground twice, which stops the process unless this is ignored.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield
    finally:
        os.tcsetpgrp(terminal, before)


if __name__ == "__main__":
    # Set to nothing, it stays so: then no opinions are taken.
    os.environ.setdefault(FEEDBACK_VARIABLE, f"sqlite:///{DATA / 'feedback.db'}")
    with foreground():
        status = private_redis.run(sys.argv[1:])
    sys.exit(status)
