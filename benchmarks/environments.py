"""Gives each peer a virtual environment of its own, so that its pins never meet ours."""

import filecmp
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.catalogue import ROOT, Peer

_TIMEOUT_S: Final = 1800.0
_LARGE: Final = 2**20
_LIST: Final = """
import sys
from importlib.metadata import PackageNotFoundError, version
for name in sys.argv[1:]:
    try:
        print(f"{name}=={version(name)}")
    except PackageNotFoundError:
        pass
"""


class InstallError(Exception):
    """A peer cannot be installed; the message says why."""


def ensure(peer: Peer, folder: Path, say: Callable[[str], None]) -> Path:
    """Return the folder of a peer's programs, installing it the first time.

    Args:
        peer: whom.
        folder: where environments are.
        say: told when it takes long.

    Raises:
        InstallError: pip could not install its pinned requirements.
    """
    requirements = peer.requirements
    if requirements is None:
        return Path(sys.executable).parent
    home = folder / (peer.home or "mlapi")
    # mlapi's leads to this working tree.
    content = requirements.read_bytes() + (b"" if peer.home else bytes(ROOT))
    stamp, wanted = home / "installed", hashlib.sha256(content).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        say(f"installing {home.name}, once (minutes)")
        _run([sys.executable, "-m", "venv", str(home)])
        install = [f"{home}/bin/python", "-m", "pip", "install", "--quiet", "--no-deps"]
        # The lists are complete. Some peers also name packages that shadow one another, or that no index has any more.
        _run([*install, "--requirement", str(requirements)])
        if not peer.home:
            _run([*install, "--editable", str(ROOT)])
            _run(["bash", str(ROOT / "tools" / "prune_packages.sh"), str(home), "serve"])
        _share(home, [other for other in folder.iterdir() if other != home and (other / "installed").exists()])
        stamp.write_text(wanted)
    if not peer.home:
        # As in the image. A start would write it, unless PYTHONDONTWRITEBYTECODE is set: then each one compiles it all.
        _run([f"{home}/bin/python", "-m", "compileall", "-q", str(ROOT / "mlapi")])
    return home / "bin"


def versions(peer: Peer, programs: Path) -> list[str]:
    """Return what a peer's environment really has of what its requirements name, as `name==version`."""
    if peer.requirements is None:
        return []
    lines = peer.requirements.read_text(encoding="utf-8").splitlines()
    names = [re.split("[^A-Za-z0-9._-]", line)[0] for line in lines if line[:1].isalnum()]
    command = [str(programs / "python"), "-c", _LIST, *names]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S603  ours


def _share(home: Path, others: Sequence[Path]) -> None:
    """Keep a large file that another environment has too on the disk only once: most of them come with PyTorch."""
    for path in home.rglob("*"):
        if path.is_symlink() or not path.is_file() or path.stat().st_size < _LARGE:
            continue
        for other in others:
            twin = other / path.relative_to(home)
            if twin.is_file() and not twin.samefile(path) and filecmp.cmp(twin, path, shallow=False):
                draft = path.with_name(f"{path.name}.shared")
                os.link(twin, draft)
                draft.replace(path)
                break


def convert(peer: Peer, programs: Path, checkpoint: Path, folder: Path, say: Callable[[str], None]) -> Path:
    """Return the checkpoint as a peer wants it, converting it the first time with the peer's own tools.

    Raises:
        InstallError: it could not be converted.
    """
    made = folder / peer.home
    if peer.convert and not made.exists():
        draft = folder / f"{peer.home}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        say(f"converting the model for {peer.home}, once")
        _run([part.format(bin=programs, checkpoint=checkpoint, draft=draft) for part in peer.convert])
        draft.rename(made)
    return made if peer.convert else checkpoint


def read_ahead(folder: Path) -> int:
    """Bring a folder's files into the page cache, so that a start does not wait for the disk; return how many bytes."""
    size = 0
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while piece := file.read(_LARGE):
                    size += len(piece)
    return size


def _run(command: list[str]) -> None:
    try:
        # The script that prunes looks for pip on the path.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path}
        subprocess.run(  # noqa: S603  ours
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True, env=environment
        )
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no message"]
        raise InstallError(lines[-1]) from error
    except subprocess.TimeoutExpired as error:
        msg = f"not installed after {_TIMEOUT_S:g} s"
        raise InstallError(msg) from error
