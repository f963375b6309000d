"""A deployment that learns, for the tests of the loop: opinions, a repository with an overlay, and a plan."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlapi.bundles.store import read_manifest
from mlapi.feedback.database import Database
from mlapi.feedback.runs import Run, Runs, State, Step
from mlapi.feedback.sql_store import SqlStore
from mlapi.feedback.votes import Vote
from mlapi.settings import LAB_BUNDLE
from tests.feedback_votes import store_over, vote

WHOLE: Final = [
    State.REQUESTED,
    State.SNAPSHOTTING,
    State.TRAINING,
    State.EVALUATING,
    State.REGISTERED,
    State.PROPOSED,
    State.CANARY,
    State.PROMOTED,
]
"""The states of a run in which everything goes well."""

_TRAIN: Final = """echo trained >> {folder}/trained
cp -r {folder}/made $1/bundle-$$
mv $1/bundle-$$ $1/bundle || true
"""
"""Leaves a bundle that was made before; again: nothing new."""

_A_CENTURY: Final = 36_500.0

FROZEN: Final[Mapping[str, Any]] = {
    "sets": {"frozen": {"accuracy": {"value": 0.9, "of": 1000}, "against": {"won": 1, "lost": 0, "agreement": 0.99}}},
    "behaviour": {},
}


def git(folder: Path, *arguments: str) -> str:
    """Run git."""
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Deployment:
    """A folder with everything in it.

    Attributes:
        folder: of everything.
        open_database: opens the database of the deployment.
        settings: of the commands, by their names without the prefix.
    """

    folder: Path
    open_database: Callable[[], Database]
    settings: Mapping[str, str]

    @property
    def repository(self) -> Path:
        """The bare repository that the overlay is in."""
        return self.folder / "deployment.git"

    def deployed(self) -> str:
        """Return the overlay as it is now."""
        return git(self.repository, "show", "main:overlays/prod/model.yaml")

    def commits(self) -> list[str]:
        """Return the subjects of the commits, the newest first."""
        return git(self.repository, "log", "--format=%s", "main").splitlines()

    def make_repository(self, digest: str) -> None:
        """Make a repository whose overlay names a model."""
        self.repository.mkdir(parents=True)
        git(self.repository, "init", "--quiet", "--bare")
        clone = self.folder / "clone"
        git(self.folder, "clone", "--quiet", str(self.repository), str(clone))
        file = clone / "overlays/prod/model.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(f"literals:\n  - MLAPI_BUNDLE=/models/{digest}\n", encoding="utf-8")
        git(clone, "add", ".")
        git(clone, "commit", "--quiet", "-m", "Deploy the first model")
        git(clone, "push", "--quiet", "origin", "HEAD:main")

    def write_plan(self, model: str = "", **top: object) -> None:
        """Write the plan of the model `lab`; `model` adds lines to it, `top` values to the head."""
        (self.folder / "train.sh").write_text(_TRAIN.format(folder=self.folder), encoding="utf-8")
        lines = [f"folder = {json.dumps(str(self.folder / 'learning'))}"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in top.items()]
        (self.folder / "learning.toml").write_text(
            "\n".join(lines)
            + f"""
[models.lab]
champion = {json.dumps(str(LAB_BUNDLE))}
train = [["sh", "{self.folder}/train.sh", "{{results}}"]]
judge = ["sh", "-c", "cp {self.folder}/frozen.json {{report}}"]
bundle = "{{results}}/bundle"
snapshot = {{texts = 5, judging = 0.5, subject_share = 1.0}}
contest = {{fresh_texts = 8, subject_share = 1.0}}
overlay = {{repository = {json.dumps(str(self.repository))}, branch = "main", file = "overlays/prod/model.yaml"}}
{model}
""",
            encoding="utf-8",
        )

    def make_candidate(self, **changes: object) -> str:
        """Put the bundle that the next training gives into its place; return its digest.

        It is the shipped one with other facts; with its labels turned round it is right where that one is wrong.
        """
        made = self.folder / "made"
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(LAB_BUNDLE, made)
        manifest = json.loads((made / "bundle.json").read_text(encoding="utf-8"))
        (made / "bundle.json").write_text(json.dumps(manifest | changes), encoding="utf-8")
        return read_manifest(made).digest

    def judge_frozen(self, champion: str, **against: object) -> None:
        """Say what the command that judges finds."""
        found = json.loads(json.dumps(FROZEN))
        found["sets"]["frozen"]["against"] |= {"champion": champion, **against}
        (self.folder / "frozen.json").write_text(json.dumps(found), encoding="utf-8")

    def run(self) -> Run:
        """Return the latest run."""
        database = self.open_database()
        try:
            return Runs(database).latest("", 1)[0]
        finally:
            database.close()

    def steps(self) -> list[Step]:
        """Return the steps of the latest run."""
        run = self.run()
        database = self.open_database()
        try:
            return Runs(database).steps(run.id)
        finally:
            database.close()

    def vote(self, votes: list[Vote], *, text_days: float = _A_CENTURY) -> SqlStore:
        """Take votes, of 1970 as they are, whose texts are kept for so long."""
        store = store_over(self.open_database(), text_days=text_days)
        store.record(votes)
        return store


def contradicting(count: int = 40, subjects: int = 2) -> list[Vote]:
    """Return opinions of several subjects that all say the opposite of what the shipped model says."""
    return [
        vote(
            model="lab",
            text=f"the {word} of number {number} is {'wonderful' if number % 2 else 'terrible'}",
            label="NEGATIVE" if number % 2 else "POSITIVE",
            answer=f"answer-{number}",
            subject=f"subject-{subject}",
            time_ms=1000 + number,
        )
        for number, word in enumerate(["film", "story"] * (count // 2))
        for subject in range(subjects)
    ]
