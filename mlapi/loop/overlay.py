"""Proposes a model: a commit that puts its digest in the place of another one, in the file that is deployed.

The commit is made on what the branch is now, if the file names the model that it is to name before the change, and is
pushed without force: of two who move the branch at the same time, one does. No server reads the registry, and nobody
but this module writes to the repository.
"""

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from mlapi.loop.errors import StaleOverlayError, StepError
from mlapi.loop.plan import Overlay

_TIME_S: Final = 60.0
_IDENTITY: Final = ("-c", "user.name=mlapi learn", "-c", "user.email=mlapi-learn@localhost")
_QUIET: Final = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def move(overlay: Overlay, expected: str, digest: str, message: str) -> str:
    """Put a digest into the place of the expected one; return the commit.

    Where the file names it already, because this was done before, nothing is changed.

    Raises:
        StaleOverlayError: the file does not name the expected digest.
        StepError: the repository cannot be reached, or somebody else pushed meanwhile.
    """
    with TemporaryDirectory(prefix="mlapi-overlay-") as scratch:
        clone = Path(scratch) / "clone"
        _git(
            Path(scratch), "clone", "--quiet", "--depth=1", "--single-branch", "--branch", overlay.branch, "--",
            overlay.repository, str(clone),
        )  # fmt: skip
        file = clone / overlay.file
        try:
            content = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"{overlay.file} of {overlay.branch} cannot be read: {error}"
            raise StepError(msg) from error
        if expected not in content and digest in content:
            return _git(clone, "rev-parse", "HEAD")
        if not expected or expected not in content:
            msg = f"{overlay.file} of {overlay.branch} does not name {expected or 'a champion'}"
            raise StaleOverlayError(msg)
        file.write_text(content.replace(expected, digest), encoding="utf-8")
        _git(clone, *_IDENTITY, "commit", "--quiet", "--no-verify", "--message", message, "--", overlay.file)
        _git(clone, "push", "--quiet", "origin", f"HEAD:refs/heads/{overlay.branch}")
        return _git(clone, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  our own arguments
            ["git", *arguments],  # noqa: S607  whichever git the operator has
            cwd=folder,
            env={**os.environ, **_QUIET},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIME_S,
            check=True,
        )
    except FileNotFoundError as error:
        msg = "git is not installed"
        raise StepError(msg) from error
    except subprocess.TimeoutExpired as error:
        msg = f"git {arguments[0]} took longer than {_TIME_S:g} s"
        raise StepError(msg) from error
    except subprocess.CalledProcessError as error:
        verb = next(word for word in arguments if not word.startswith("-") and "=" not in word)
        msg = f"git {verb}: {' / '.join(error.stderr.strip().splitlines()[-3:])}"
        raise StepError(msg) from error
    return done.stdout.strip()
