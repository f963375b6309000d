"""Keeps OpenVINO and NNCF from reporting their use to a third party."""

import sys
from typing import Final

_REPORTER: Final = "openvino_telemetry"


def decline() -> None:
    """Make the reporting package look absent; to be called before the first `import openvino` of a process.

    Without it, that import asks nobody, starts a thread, writes to the home folder and sends events to an analytics
    service. Both libraries carry a silent stand-in for when the package cannot be imported.
    """
    # None marks a module that cannot be imported (https://docs.python.org/3/library/sys.html#sys.modules).
    sys.modules.setdefault(_REPORTER, None)  # type: ignore[arg-type]
