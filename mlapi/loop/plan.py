"""Reads how the learning loop is to work: `learning.toml`, checked before anything runs."""

import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from mlapi.errors import ConfigurationError
from mlapi.feedback.runs import State
from mlapi.learn.gate import Contest, Floors, Share

Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0.0)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]

PLACES: Final = frozenset({"python", "model", "dataset", "results", "candidate", "champion", "report"})
"""What a command may name in braces."""

_URL: Final = re.compile(r"https?://[^\s/]+(/\S*)?")


class Overlay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file that says which model is deployed, in a Git repository.

    Attributes:
        repository: whatever `git clone` and `git push` take.
        branch: the branch that is deployed.
        file: the file, in which the champion's digest stands, and nothing else that looks like it.
    """

    repository: str
    branch: str
    file: str


class Canary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the loop learns that the service answers with the candidate.

    Attributes:
        url: of the model's `GET /{model}/model`, whose `bundle_digest` has to be the candidate's.
        wait_s: how long that may take; then the candidate is rolled back.
        key_file: a file with an API key for it; empty: it asks for none.
    """

    url: str
    wait_s: Seconds = 3600.0
    key_file: str = ""


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which texts with opinions are learned from, and which judge.

    Attributes:
        judging: share of the texts on which subjects agree that no model ever learns from: on them candidate and
            champion are compared.
        single: whether to learn from texts that one subject alone has an opinion on.
        subject_share: of the texts to learn from, the most that may rest on a single subject.
        texts: how many texts there must be to learn from.
    """

    judging: Share = 0.3
    single: bool = False
    subject_share: Share = 0.05
    texts: Count = 20


class Triggers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What asks for a run, beside the command.

    Attributes:
        opinions: each time that so many more opinions have come; 0: never.
        every_days: each time that so many days are over; 0: never.
        alerts: alerts of Prometheus with this model in their label `model`, when Alertmanager sends them.
    """

    opinions: Annotated[int, msgspec.Meta(ge=0)] = 0
    every_days: Annotated[int, msgspec.Meta(ge=0)] = 0
    alerts: tuple[str, ...] = ("MlapiAccuracyLow", "MlapiPredictionDrift")


class ModelPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model that is to be kept learning.

    Attributes:
        champion: the folder of the bundle that is served before the loop has made one.
        train: commands that make a bundle out of the texts to learn from, in their order.
        judge: the command that compares the bundle with the champion on frozen sets, and writes the figures as JSON.
        bundle: where the commands leave the bundle.
        experiment: where they leave a JSON file whose `commit` is that of their code; empty: nowhere.
        triggers: what asks for a run.
        snapshot: which texts are learned from.
        floors: what a candidate has to reach.
        contest: what it has to do better than the champion.
        overlay: where it is proposed; None: the registry alone says so.
        canary: how the loop learns that it is served; None: it is promoted as soon as it is proposed.
    """

    champion: str
    train: Annotated[tuple[tuple[str, ...], ...], msgspec.Meta(min_length=1)]
    judge: tuple[str, ...]
    bundle: str
    experiment: str = ""
    triggers: Triggers = Triggers()
    snapshot: Snapshot = Snapshot()
    floors: Floors = Floors(accuracy={})
    contest: Contest = Contest()
    overlay: Overlay | None = None
    canary: Canary | None = None


class Notify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who is to hear of runs.

    Attributes:
        name: of the receiver; part of the ids of what it is sent.
        url: where to; one of `url` and `url_file` is given.
        url_file: a file that holds the URL, which may be a secret.
        format: CloudEvents 1.0, or what Slack, Mattermost and others like them take.
        states: which.
    """

    name: str
    url: str = ""
    url_file: str = ""
    format: Literal["cloudevents", "slack"] = "cloudevents"
    states: tuple[State, ...] = (State.PROPOSED, State.PROMOTED, State.REJECTED, State.ROLLED_BACK, State.FAILED)

    def address(self) -> str:
        """Return the URL.

        Raises:
            OSError: its file cannot be read.
            ValueError: its file holds something else.
        """
        if self.url:
            return self.url
        address = Path(self.url_file).read_text(encoding="utf-8").strip()
        if not _URL.fullmatch(address):
            msg = f"{self.url_file} holds no URL like https://host/path"
            raise ValueError(msg)
        return address


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the loop works.

    Attributes:
        folder: where data sets, bundles, reports and the files of runs are kept.
        models: the models, by the names that they are served under.
        notify: who is to hear of runs.
        lease_s: how long a run is somebody's who does not say that it goes on.
        stage_s: how long one command may take.
        attempts: how often a state is begun before the run has failed.
        stuck_s: how long a run may be in one state; then it is called stuck.
    """

    folder: str
    models: Annotated[dict[str, ModelPlan], msgspec.Meta(min_length=1)]
    notify: tuple[Notify, ...] = ()
    lease_s: Seconds = 120.0
    stage_s: Seconds = 21_600.0
    attempts: Count = 3
    stuck_s: Seconds = 43_200.0


def read_plan(file: Path) -> Plan:
    """Read the file.

    Raises:
        ConfigurationError: it is missing or not TOML; a name is unknown, a value out of bounds, or two contradict.
    """
    try:
        plan = msgspec.toml.decode(file.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError, ValueError) as error:
        msg = f"{file}: {error.strerror if isinstance(error, OSError) else error}"
        raise ConfigurationError(msg) from error
    if problems := list(_contradictions(plan)):
        raise ConfigurationError("\n".join(f"{file}: {problem}" for problem in problems))
    return plan


def _contradictions(plan: Plan) -> Iterator[str]:
    names = [one.name for one in plan.notify]
    if len(set(names)) < len(names):
        yield "two of `notify` have the same name"
    for one in plan.notify:
        if bool(one.url) == bool(one.url_file):
            yield f"notify {one.name}: give either url or url_file"
        if one.url and not _URL.fullmatch(one.url):
            yield f"notify {one.name}: url is not like https://host/path"
    for name, model in plan.models.items():
        yield from (f"models.{name}: {problem}" for problem in _of_model(model))


def _of_model(model: ModelPlan) -> Iterator[str]:
    commands = (*model.train, model.judge)
    if not all(commands):
        yield "a command is empty"
    for part in (*(part for command in commands for part in command), model.bundle, model.experiment):
        yield from _places(part)
    if model.canary and not _URL.fullmatch(model.canary.url):
        yield "canary.url is not like http://host/lab/model"
    if model.canary and not model.overlay:
        yield "a canary needs an overlay: nothing else would make the service change its model"
    if model.overlay and (Path(model.overlay.file).is_absolute() or ".." in Path(model.overlay.file).parts):
        yield "overlay.file is a path inside the repository"


def _places(part: str) -> Iterator[str]:
    try:
        names = {name for _, name, _, _ in Formatter().parse(part) if name is not None}
    except ValueError as error:
        yield f"{part!r}: {error}"
        return
    if unknown := names - PLACES:
        yield f"{part!r} names {', '.join(sorted(unknown))}; it may name {', '.join(sorted(PLACES))}"
