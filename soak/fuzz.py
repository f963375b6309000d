"""Grows the corpus: has atheris look for requests that reach new code, and keeps the smallest that do.

`tools/fuzz.sh` runs it in an environment of its own, because atheris is not among the project's requirements. What
raises anything but a refusal is a fault of the service, and stops the search; its input is kept as `crash-…`.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from soak.corpus import CORPUS

_LONGEST: Final = 2_048


def search(target: str, folder: Path, new: Path, seconds: int) -> int:
    """Look for new inputs of a target in a process of its own; return its exit code."""
    command = [sys.executable, "-m", "soak.fuzz", "--inside", target, "--", str(new), str(folder)]
    options = [f"-max_total_time={seconds}", f"-max_len={_LONGEST}", "-timeout=10", f"-artifact_prefix={new.parent}/"]
    return subprocess.run([*command, *options], check=False).returncode  # noqa: S603  the line above


def merge(target: str, sources: list[Path], least: Path) -> int:
    """Keep as few and as small inputs as reach the same code; return the exit code."""
    command = [sys.executable, "-m", "soak.fuzz", "--inside", target, "--", "-merge=1", str(least)]
    return subprocess.run([*command, *map(str, sources)], check=False).returncode  # noqa: S603  the line above


def inside(target: str, arguments: list[str]) -> None:
    """Hand a target over to atheris, which does not return."""
    import atheris  # noqa: PLC0415  only in the environment of `tools/fuzz.sh`

    with atheris.instrument_imports(include=["mlapi"]):
        from soak.targets import targets  # noqa: PLC0415  instrumented as it is imported

    run = targets()[target]
    # libFuzzer starts itself anew to minimise, by a shell, with this as the beginning of the command.
    atheris.Setup([f"{sys.executable} -m soak.fuzz --inside {target} --", *arguments], run)
    atheris.Fuzz()


def grow(target: str, seconds: int) -> int:
    """Search, minimise, and name what is new after what a real process answers; return how many that are."""
    from soak.record import named, record  # noqa: PLC0415  not instrumented, and not needed inside

    known = {path.read_bytes() for path in (CORPUS / target).glob("*")}
    with tempfile.TemporaryDirectory() as made:
        new, least = Path(made, "new"), Path(made, "least")
        new.mkdir()
        least.mkdir()
        if code := search(target, CORPUS / target, new, seconds):
            for crash in Path(made).glob("*-*"):
                shutil.copy(crash, f"crash-{target}-{crash.name}")
            sys.exit(f"{target}: a fault was found, exit code {code}; its input lies in crash-{target}-…")
        if code := merge(target, [CORPUS / target, new], least):
            sys.exit(f"{target}: what was found could not be minimised, exit code {code}: nothing was added")
        found = [data for path in sorted(least.iterdir()) if (data := path.read_bytes()) not in known and data]
    written = record([named(target, data) for data in found], CORPUS)
    return len(written)


def main() -> None:
    """Read the command line."""
    arguments = sys.argv[1:]
    rest: list[str] = []
    if "--" in arguments:
        place = arguments.index("--")
        arguments, rest = arguments[:place], arguments[place + 1 :]
    parser = argparse.ArgumentParser(prog="python -m soak.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="folders of the corpus; none: all")
    parser.add_argument("--seconds", type=int, default=60, help="how long to search for each (default: 60)")
    parser.add_argument("--inside", metavar="TARGET", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        inside(options.inside, rest)
        return
    known = sorted(path.name for path in CORPUS.iterdir())
    if unknown := sorted({*options.targets} - {*known}):
        parser.error(f"{', '.join(unknown)}: not among {', '.join(known)}")
    if options.seconds < 1:
        parser.error("--seconds takes a number above 0: without it, the search has no end")
    for target in options.targets or known:
        sys.stdout.write(f"{target}: {grow(target, options.seconds)} new\n")


if __name__ == "__main__":
    main()
