"""Moves versions between environments, each move a commit that changes one digest in `.k8s/environments`.

`python -m tools.promotion set dev sha256:…` starts a version on its way, `promote staging` takes what dev has to
staging, `promote prod` what staging has; `rollback ENVIRONMENT` goes back to the digest before, and bans the one that
it leaves. `settle ENVIRONMENT` does so if Flagger says that the version failed, else nothing. It reads the output of
`kubectl get canary/mlapi deployment/mlapi deployment/mlapi-primary --output json`, and with `--earlier FILE` that of
some time before, which has to say the same.
A banned digest is never set again. Whatever watches the repository does the rest.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

ENVIRONMENTS: Final = ("dev", "staging", "prod")
BANNED: Final = "banned.txt"

_FOLDER: Final = Path(".k8s/environments")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_LINE: Final = re.compile(r"^(\s*digest: )(sha256:[0-9a-f]{64})$", re.MULTILINE)
_NAME: Final = "mlapi"
_QUERY: Final = "kubectl get canary/mlapi deployment/mlapi deployment/mlapi-primary --output json"
_NONE: Final = f"sha256:{'0' * 64}"


class PromotionError(Exception):
    """A move that must not be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A checkout with the environments."""

    root: Path

    def digest(self, environment: str, revision: str | None = None) -> str:
        """Return what an environment runs, now or in a revision.

        Raises:
            PromotionError: its file does not have exactly one digest.
        """
        file = self._file(environment)
        text = self._git("show", f"{revision}:{file}") if revision else (self.root / file).read_text(encoding="utf-8")
        found = {match[2] for match in _LINE.finditer(text)}
        if len(found) != 1:
            msg = f"{file} has {len(found)} digests, and not one"
            raise PromotionError(msg)
        return found.pop()

    def move(self, environment: str, digest: str, why: str, ban: str = "") -> None:
        """Commit that an environment is to run a digest, and that another one is banned.

        Raises:
            PromotionError: the digest is none, is banned or is there already; something else is staged; or Git refuses
                the commit, and everything is as it was.
        """
        if not _DIGEST.fullmatch(digest) or digest == _NONE:
            msg = f"{digest} is not the digest of an image: sha256: and 64 hexadecimal digits"
            raise PromotionError(msg)
        if digest in self.banned():
            msg = f"{digest} is banned: a rollout of it failed; see {_FOLDER / BANNED}"
            raise PromotionError(msg)
        if self.digest(environment) == digest:
            msg = f"{environment} runs {digest} already"
            raise PromotionError(msg)
        file, banned = self._file(environment), _FOLDER / BANNED
        if self._git("status", "--porcelain", "--untracked-files=no"):
            msg = "the working tree has changes that are not committed"
            raise PromotionError(msg)
        path = self.root / file
        path.write_text(_LINE.sub(rf"\g<1>{digest}", path.read_text(encoding="utf-8")), encoding="utf-8")
        if ban:
            with (self.root / banned).open("a", encoding="utf-8") as list_of_banned:
                list_of_banned.write(f"{ban}\n")
        try:
            self._git("add", "--", str(file), *([str(banned)] if ban else []))
            self._git("commit", "--quiet", "--message", f"{environment}: {why}")
        except PromotionError:
            # There was nothing else in it (see above). What was not committed must not be taken for done.
            self._git("reset", "--quiet", "--hard")
            raise

    def previous(self, environment: str) -> str:
        """Return the last digest that an environment had before the one that it has, and that is not banned.

        Raises:
            PromotionError: there is none.
        """
        now, banned = self.digest(environment), self.banned()
        for revision in self._git("log", "--format=%H", "--", str(self._file(environment))).split():
            digest = self.digest(environment, revision)
            if digest not in {now, _NONE, *banned}:
                return digest
        msg = f"{environment} had no other digest before that is not banned"
        raise PromotionError(msg)

    def banned(self) -> set[str]:
        """Return the digests that are never set again."""
        path = self.root / _FOLDER / BANNED
        return set(_DIGEST.findall(path.read_text(encoding="utf-8"))) if path.exists() else set()

    def _file(self, environment: str) -> Path:
        return _FOLDER / environment / "kustomization.yaml"

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
        if done.returncode:
            msg = f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}"
            raise PromotionError(msg)
        return done.stdout


def promote(repository: Repository, environment: str) -> str:
    """Take what the environment before has to this one; return what was done.

    Raises:
        PromotionError: there is none before, or it must not be.
    """
    place = ENVIRONMENTS.index(environment)
    if not place:
        msg = f"{environment} is the first environment: set its digest"
        raise PromotionError(msg)
    before = ENVIRONMENTS[place - 1]
    digest = repository.digest(before)
    repository.move(environment, digest, f"promote {digest[:19]} from {before}")
    return f"{environment} is to run {digest}"


def roll_back(repository: Repository, environment: str) -> str:
    """Go back to the digest before, and ban the one that is left; return what was done.

    Raises:
        PromotionError: there is none before.
    """
    bad = repository.digest(environment)
    good = repository.previous(environment)
    repository.move(environment, good, f"roll back from {bad[:19]}, which is banned, to {good[:19]}", ban=bad)
    return f"{environment} is to run {good} again; {bad} is banned"


def settle(repository: Repository, environment: str, objects: IO[str], earlier: IO[str] | None = None) -> str:
    """Roll back if Flagger says that the version failed which the environment is to run; return what was done.

    What failed is what the Deployment names and the primary does not. So a second call does nothing: by then the
    repository names another digest, and when that is applied, so does the Deployment.

    For one interval of its analysis after the Deployment names the next version, Flagger still says `Failed` of the
    one before. So it is asked twice, further apart than that: `earlier` is its first answer, of the same version.

    Raises:
        PromotionError: what was read are not these objects, or there is nothing to go back to.
    """
    phase, tried, kept = _read(objects)
    if earlier is not None and _read(earlier)[:2] != (phase, tried):
        return f"{environment}: {phase}, but not of the same version a moment ago: nothing to do yet"
    wanted = repository.digest(environment)
    if phase == "Failed" and not _DIGEST.fullmatch(tried):
        msg = f"what failed is {tried}, which is no digest: it was not deployed from the repository"
        raise PromotionError(msg)
    if phase != "Failed" or tried != wanted or kept == wanted:
        return f"{environment}: {phase}, nothing to do"
    return roll_back(repository, environment)


def _read(objects: IO[str]) -> tuple[str, str, str]:
    """Return Flagger's word, and the digests of what was tried and of what is kept.

    Raises:
        PromotionError: what was read are not these objects.
    """
    try:
        found = {(each["kind"], each["metadata"]["name"]): each for each in json.load(objects)["items"]}
        phase = found["Canary", _NAME]["status"]["phase"]
        tried, kept = (_image(found["Deployment", name]) for name in (_NAME, f"{_NAME}-primary"))
    except (ValueError, LookupError, TypeError) as error:
        msg = f"the input is not what this writes: {_QUERY}"
        raise PromotionError(msg) from error
    return phase, tried, kept


def _image(deployment: Mapping[str, Any]) -> str:
    """Return the digest of a Deployment's image; all of it where it has none."""
    (image,) = (
        container["image"]
        for container in deployment["spec"]["template"]["spec"]["containers"]
        if container["name"] == _NAME
    )
    return str(image).rpartition("@")[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code: 0 done, 1 must not be done, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m tools.promotion", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("set", "promote", "rollback", "settle", "show"):
        command = commands.add_parser(name)
        command.add_argument("environment", choices=ENVIRONMENTS)
        if name == "set":
            command.add_argument("digest")
        if name == "settle":
            command.add_argument("--earlier", type=argparse.FileType(encoding="utf-8"), help="what was read before")
    options = parser.parse_args(arguments)
    repository = Repository(Path.cwd())
    try:
        if options.command == "set":
            repository.move(options.environment, options.digest, f"run {options.digest[:19]}")
            said = f"{options.environment} is to run {options.digest}"
        elif options.command == "promote":
            said = promote(repository, options.environment)
        elif options.command == "rollback":
            said = roll_back(repository, options.environment)
        elif options.command == "settle":
            said = settle(repository, options.environment, sys.stdin, options.earlier)
        else:
            said = repository.digest(options.environment)
    except (PromotionError, OSError) as error:
        sys.stderr.write(f"promotion: {error}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
