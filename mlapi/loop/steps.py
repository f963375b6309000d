"""The steps of a run: what is done in each state, and which state comes next.

Each may be killed anywhere and be done again: what it leaves is named by its digest, and the change of state is written
together with whatever must not happen twice.
"""

import json
import sys
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError

import msgspec

from mlapi.bundles.store import read_manifest
from mlapi.errors import MlapiError
from mlapi.feedback.base import Store, StoreError
from mlapi.feedback.database import Database, Within
from mlapi.feedback.registry import Registered, Registry, RegistryError, StaleError
from mlapi.feedback.runs import Move, Run, Runs, State
from mlapi.learn.gate import defeats, shortfalls
from mlapi.loop.commands import Commands
from mlapi.loop.contest import on_fresh_opinions, too_few
from mlapi.loop.errors import RefusedError, StaleOverlayError, StepError
from mlapi.loop.overlay import move
from mlapi.loop.plan import Canary, ModelPlan, Plan
from mlapi.loop.snapshot import to_judge_with, to_learn_from
from mlapi.loop.workshop import Workshop

_MS: Final = 1000
_ASK_S: Final = 5.0
_SHORT: Final = 12
_MAX_ANSWER: Final = 1_000_000
_NO_KEY: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Steps:
    """What the steps work with.

    Attributes:
        plan: how the loop works.
        database: where runs and models are.
        store: where the opinions are.
        runs: the table of runs.
        workshop: the folder of the loop.
        now: tells milliseconds since 1970.
        clock: tells seconds.
    """

    plan: Plan
    database: Database
    store: Store
    runs: Runs
    workshop: Workshop
    now: Callable[[], int]
    clock: Callable[[], float]

    def step(self, run: Run) -> Run | None:
        """Do what is to be done in the state of a run; return the run in its next state, None where it has to wait.

        Raises:
            LostLeaseError: somebody else works on the run.
            StepError: it did not succeed.
            StoreError: the database failed.
        """
        done: dict[State, Callable[[Run], Run | None]] = {
            State.REQUESTED: self._begin,
            State.SNAPSHOTTING: self._snapshot,
            State.TRAINING: self._train,
            State.EVALUATING: self._evaluate,
            State.REGISTERED: self._decide,
            State.PROPOSED: self._propose,
            State.CANARY: self._watch,
        }
        return done[run.state](run)

    def _begin(self, run: Run) -> Run:
        return self._to(run, State.SNAPSHOTTING, "taken up")

    def _snapshot(self, run: Run) -> Run:
        rules = self.plan.models[run.model].snapshot
        chosen = to_learn_from(self.store.opinions(run.model), rules)
        count = sum(chosen.labels.values())
        if count < rules.texts:
            return self._to(run, State.REJECTED, f"opinions give {count} texts to learn from; {rules.texts} are needed")
        digest = self.workshop.keep_dataset(chosen.lines)
        facts = msgspec.structs.replace(
            run.facts, dataset=digest, subject_share=chosen.largest_share, stages=0, error=""
        )
        with self.runs.holding(run) as session:
            Registry(Within(session)).note_dataset(digest, run.model, count, self.now())
            note = f"{count} texts, {digest[:_SHORT]}"
            return self.runs.advance_within(session, run, Move(State.TRAINING, facts, note), self.now())

    def _train(self, run: Run) -> Run:
        plan = self.plan.models[run.model]
        if not self.workshop.has_dataset(run.facts.dataset):
            return self._to(run, State.SNAPSHOTTING, "the texts to learn from are gone")
        folder = self.workshop.run(run.id)
        results = folder / "results"
        done = run.facts.stages if results.exists() else 0
        results.mkdir(exist_ok=True)
        champion, _ = self._champion(run.model, plan)
        places = self._places(run, champion)
        commands = self._commands(run, folder)
        try:
            for number, command in enumerate(plan.train[done:], start=done + 1):
                commands.run(_filled(command, places), {})
                run = self.runs.note_facts(run, msgspec.structs.replace(run.facts, stages=number))
        except RefusedError as refusal:
            return self._to(run, State.REJECTED, f"the training: {refusal}")
        try:
            candidate = self.workshop.keep_bundle(Path(_filled((plan.bundle,), places)[0]))
        except MlapiError as error:
            raise StepError(error.detail) from error
        if why := self._barred(run.model, candidate):
            return self._to(run, State.REJECTED, why, candidate=candidate)
        code = _code(Path(_filled((plan.experiment,), places)[0])) if plan.experiment else ""
        return self._to(run, State.EVALUATING, f"candidate {candidate[:_SHORT]}", candidate=candidate, code=code)

    def _evaluate(self, run: Run) -> Run:
        plan = self.plan.models[run.model]
        folder = self.workshop.run(run.id)
        candidate = self.workshop.find_bundle(run.facts.candidate)
        if candidate is None:
            return self._to(run, State.TRAINING, "the candidate's bundle is gone", stages=0)
        champion, digest = self._champion(run.model, plan)
        places = self._places(run, champion) | {"candidate": str(candidate), "report": str(folder / "frozen.json")}
        (folder / "frozen.json").unlink(missing_ok=True)
        try:
            self._commands(run, folder).run(_filled(plan.judge, places), {})
        except RefusedError as refusal:
            return self._to(run, State.REJECTED, f"the judging: {refusal}")
        frozen = _figures(folder / "frozen.json")
        opinions = to_judge_with(self.store.opinions(run.model), plan.snapshot, self._learned(run))
        try:
            fresh = on_fresh_opinions(opinions, candidate, champion)
        except MlapiError as error:
            raise StepError(error.detail) from error
        metrics = {"frozen": frozen, "fresh": fresh, "largest_subject_share": run.facts.subject_share}
        lacking = (
            *shortfalls(frozen, plan.floors),
            *too_few(frozen["sets"], plan.contest.margin),
            *defeats(metrics, plan.contest, digest),
        )
        report = {"run": run.id, "candidate": run.facts.candidate, "champion": digest, "lacking": lacking, **metrics}
        kept = self.workshop.keep_report(json.dumps(report, indent=2, sort_keys=True).encode() + b"\n")
        facts = msgspec.structs.replace(run.facts, champion=digest, report=kept, lacking=lacking, error="")
        with self.runs.holding(run) as session:
            self._register(Registry(Within(session)), run, digest, kept)
            note = f"report {kept[:_SHORT]}: " + (f"{len(lacking)} shortfalls" if lacking else "passes the gate")
            return self.runs.advance_within(session, run, Move(State.REGISTERED, facts, note), self.now())

    def _decide(self, run: Run) -> Run:
        if not run.facts.lacking:
            return self._to(run, State.PROPOSED, f"instead of {run.facts.champion[:_SHORT]}")
        reason = "; ".join(run.facts.lacking)
        with self.runs.holding(run) as session:
            self._ban(Registry(Within(session)), run, reason)
            return self.runs.advance_within(session, run, Move(State.REJECTED, run.facts, reason), self.now())

    def _propose(self, run: Run) -> Run:
        facts, overlay = run.facts, self.plan.models[run.model].overlay
        if why := self._barred(run.model, facts.candidate):
            return self._to(run, State.REJECTED, why)
        if (champion := Registry(self.database).champion(run.model)) != facts.champion:
            return self._again(run, f"the champion is {champion[:_SHORT] or 'nobody'} by now")
        commit = ""
        if overlay is not None:
            # Whoever has lost the run meanwhile must not push any more.
            self.runs.renew(run, self.now(), self._lease_ms)
            try:
                commit = move(overlay, facts.champion, facts.candidate, _message(run))
            except StaleOverlayError as stale:
                return self._again(run, str(stale))
        note = f"commit {commit[:_SHORT]}" if commit else "no overlay is named"
        return self._to(run, State.CANARY, note, commit=commit, since_ms=self.now())

    def _watch(self, run: Run) -> Run | None:
        facts, canary = run.facts, self.plan.models[run.model].canary
        if why := self._barred(run.model, facts.candidate, but_champion=True):
            return self._withdraw(run, why)
        found, refused = ("", "") if canary is None else _served(canary)
        if canary is not None and found != facts.candidate:
            if self.now() < facts.since_ms + canary.wait_s * _MS:
                return None
            return self._withdraw(run, f"{canary.url} did not answer with it within {canary.wait_s:g} s{refused}")
        reason = f"passed the gate: report {facts.report[:_SHORT]}"
        try:
            with self.runs.holding(run) as session:
                Registry(Within(session)).promote(facts.candidate, facts.champion, reason, self.now())
                return self.runs.advance_within(session, run, Move(State.PROMOTED, facts, reason), self.now())
        except StaleError as stale:
            return self._withdraw(run, str(stale), ban=False)

    def undo(self, run: Run) -> None:
        """Take a banned model out of the overlay, if it is there, and note of a promoted run that it was rolled back.

        Raises:
            StepError: the overlay cannot be changed now.
            StoreError: the database failed.
        """
        registry = Registry(self.database)
        self._restore(run, registry.champion(run.model))
        why = registry.banned(run.facts.candidate)
        with self.database.writing() as session:
            self.runs.revoke(session, run.facts.candidate, why, self.now())

    def _withdraw(self, run: Run, why: str, *, ban: bool = True) -> Run:
        """Take a candidate out of the overlay, and see to it that it is never proposed again."""
        self.runs.renew(run, self.now(), self._lease_ms)
        self._restore(run, Registry(self.database).champion(run.model))
        with self.runs.holding(run) as session:
            if ban:
                self._ban(Registry(Within(session)), run, why)
            return self.runs.advance_within(session, run, Move(State.ROLLED_BACK, run.facts, why), self.now())

    def _restore(self, run: Run, champion: str) -> None:
        overlay = self.plan.models[run.model].overlay
        if overlay is None:
            return
        message = f"Roll {run.model} back to {champion[:_SHORT]}\n\nRun: {run.id}\nBanned: {run.facts.candidate}\n"
        try:
            move(overlay, run.facts.candidate, champion, message)
        except StaleOverlayError:
            # Somebody else has put another model there: that one is theirs.
            return

    def _again(self, run: Run, why: str) -> Run:
        """Compare a candidate anew, because the world has moved; not for ever."""
        stale = run.facts.stale + 1
        if stale >= self.plan.attempts:
            return self._to(run, State.FAILED, f"{why}; tried {stale} times", stale=stale)
        return self._to(run, State.EVALUATING, why, stale=stale)

    def _to(self, run: Run, state: State, note: str, **known: Any) -> Run:  # noqa: ANN401  fields of Facts
        facts = msgspec.structs.replace(run.facts, error="", **known)
        return self.runs.advance(run, Move(state, facts, note), self.now())

    def _register(self, registry: Registry, run: Run, champion: str, report: str) -> None:
        """Add candidate and champion to the registry, each if it is not there."""
        if not registry.champion(run.model):
            if registry.find(champion) is None:
                registry.register(Registered(champion, run.model), self.now())
            registry.promote(champion, "", "was served when the loop began", self.now())
        if registry.find(run.facts.candidate) is None:
            facts = Registered(
                run.facts.candidate, run.model, dataset=run.facts.dataset, commit=run.facts.code, run=run.id,
                parent=champion, report=report,
            )  # fmt: skip
            registry.register(facts, self.now())

    def _ban(self, registry: Registry, run: Run, why: str) -> None:
        """Ban a candidate; one that was a good champion before is let be."""
        with suppress(RegistryError):
            registry.reject(run.facts.candidate, why, self.now())

    def _barred(self, model: str, digest: str, *, but_champion: bool = False) -> str:
        """Say why a model cannot be proposed; empty where it can."""
        registry = Registry(self.database)
        if (why := registry.banned(digest)) or but_champion:
            return f"{digest[:_SHORT]} was {why}" if why else ""
        found = registry.find(digest)
        if found is not None and found.model != model:
            return f"{digest[:_SHORT]} is a model of {found.model}"
        return "it is the champion already" if registry.champion(model) == digest else ""

    def _champion(self, model: str, plan: ModelPlan) -> tuple[Path, str]:
        """Return bundle and digest of the model that is to be replaced."""
        first = Path(plan.champion)
        try:
            digest = Registry(self.database).champion(model) or read_manifest(first).digest
        except MlapiError as error:
            raise StepError(error.detail) from error
        folder = self.workshop.find_bundle(digest, first)
        if folder is None:
            msg = f"the champion's bundle {digest} is neither in {self.workshop.root}/bundles nor {first}"
            raise StepError(msg)
        return folder, digest

    def _learned(self, run: Run) -> frozenset[str]:
        try:
            lines = self.workshop.dataset(run.facts.dataset).read_bytes().split(b"\n")
        except OSError:
            return frozenset()
        return frozenset(msgspec.json.decode(line)["text"] for line in lines if line)

    def _places(self, run: Run, champion: Path) -> dict[str, str]:
        return {
            "python": sys.executable,
            "model": run.model,
            "dataset": str(self.workshop.dataset(run.facts.dataset)),
            "results": str(self.workshop.run(run.id) / "results"),
            "champion": str(champion),
            "candidate": "",
            "report": "",
        }

    def _commands(self, run: Run, folder: Path) -> Commands:
        return Commands(
            folder,
            keep=lambda: self._keep(run),
            pause_s=self.plan.lease_s / 4,
            limit_s=self.plan.stage_s,
            clock=self.clock,
        )

    def _keep(self, run: Run) -> None:
        """Keep a run while one of its commands works; a database that is away for a while does not end the command."""
        with suppress(StoreError):
            self.runs.renew(run, self.now(), self._lease_ms)

    @property
    def _lease_ms(self) -> int:
        return round(self.plan.lease_s * _MS)


def _filled(command: Sequence[str], places: dict[str, str]) -> list[str]:
    return [part.format(**places) for part in command]


def _figures(file: Path) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        msg = f"the command that judges left no figures: {error}"
        raise StepError(msg) from error
    return {"sets": {}, "behaviour": {}, **found}


def _code(file: Path) -> str:
    try:
        return str(msgspec.json.decode(file.read_bytes(), type=dict[str, Any]).get("commit") or "")
    except (OSError, msgspec.DecodeError) as error:
        msg = f"{file}: {error}"
        raise StepError(msg) from error


def _message(run: Run) -> str:
    facts = run.facts
    return (
        f"Deploy {run.model} {facts.candidate[:_SHORT]}\n\nPassed the gate against {facts.champion[:_SHORT]}.\n\n"
        f"Run: {run.id}\nCandidate: {facts.candidate}\nReplaces: {facts.champion}\nDataset: {facts.dataset}\n"
        f"Report: {facts.report}\n"
    )


def _served(canary: Canary) -> tuple[str, str]:
    """Return the digest of the bundle that a service answers with, and else what to do, where that is known.

    Raises:
        StepError: the file of the API key cannot be read.
    """
    request = urllib.request.Request(canary.url)  # noqa: S310  http or https: see plan.py
    if canary.key_file:
        try:
            key = Path(canary.key_file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            msg = f"canary.key_file, {canary.key_file}, cannot be read: {error}"
            raise StepError(msg) from error
        # A redirect must not carry it elsewhere.
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=_ASK_S) as answer:  # noqa: S310  likewise
            found = msgspec.json.decode(answer.read(_MAX_ANSWER), type=dict[str, Any])
    except HTTPError as error:
        return "", ": it asks for an API key, of the file canary.key_file" if error.code in _NO_KEY else ""
    except (OSError, ValueError, HTTPException, msgspec.DecodeError):
        return "", ""
    return str(found.get("bundle_digest", "")), ""
