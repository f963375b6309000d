"""One turn of the learning loop: asks for the runs that are due, and takes each model's run as far as it goes.

Level-triggered: a turn looks at how things are, and not at what happened, so that it matters neither how many turns
there are, nor whether two go on at the same time, nor where the last one was killed.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from mlapi.feedback.base import StoreError
from mlapi.feedback.registry import Registry
from mlapi.feedback.runs import LostLeaseError, Move, Run, State, Trigger
from mlapi.loop.errors import StepError
from mlapi.loop.notices import Notices
from mlapi.loop.steps import Steps

_log = logging.getLogger(__name__)

_DAY_MS: Final = 86_400_000
_MS: Final = 1000
_LOOK_BACK: Final = 100
"""Runs that ended last, whose texts are looked for again."""

_TAKEN_BACK: Final = (State.REJECTED, State.ROLLED_BACK, State.FAILED)


class Loop:
    """The loop of one deployment."""

    def __init__(self, steps: Steps, notices: Notices) -> None:
        self._steps = steps
        self._notices = notices
        self._plan = steps.plan
        self._runs = steps.runs

    def turn(self, models: Sequence[str]) -> bool:
        """Take one turn for some models; return whether everything that was attempted succeeded.

        Texts whose time is over are erased first: nothing is learned from them, also where no service erases them.

        Raises:
            StoreError: the database failed; the next turn goes on from there.
        """
        self._steps.store.purge(self._steps.now())
        well = True
        for model in models:
            self._runs.request(list(self._due(model)), self._steps.now())
            well &= self._undo(model)
            well &= self._work(model)
        self._tidy()
        self._notices.deliver()
        return well

    def _due(self, model: str) -> Iterator[Trigger]:
        triggers = self._plan.models[model].triggers
        if triggers.every_days:
            period = self._steps.now() // (_DAY_MS * triggers.every_days)
            yield Trigger(f"schedule/{model}/{triggers.every_days}/{period}", model, "the schedule")
        if triggers.opinions:
            mark = sum(1 for _ in self._steps.store.opinions(model)) // triggers.opinions * triggers.opinions
            if mark:
                yield Trigger(f"feedback/{model}/{mark}", model, f"{mark} opinions")

    def _work(self, model: str) -> bool:
        """Take the run of a model as far as it goes; return whether every step succeeded."""
        run = self._runs.claim(model, self._steps.now(), self._lease_ms)
        while run is not None and not run.ended:
            held = run
            try:
                run = self._go_on(held)
            except StepError as error:
                self._note_failure(held, str(error))
                return False
            except LostLeaseError as lost:
                _log.warning("a run was taken over", extra={"run": held.id, "model": model, "error": str(lost)})
                return True
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001  a full disk, a bug: the other models' runs go on
                self._note_failure(held, f"{type(error).__name__}: {error}", error)
                return False
        return run is None or run.state is not State.FAILED

    def _note_failure(self, run: Run, said: str, unforeseen: Exception | None = None) -> None:
        """Write down why a step did not succeed, and let the next turn have the run."""
        facts = {"run": run.id, "model": run.model, "state": run.state.value, "error": said}
        _log.warning("a step did not succeed", extra=facts, exc_info=unforeseen)
        with suppress(LostLeaseError):
            self._runs.note_error(run, said)
            self._runs.release(run, waiting=False)

    def _go_on(self, run: Run) -> Run | None:
        """Take a run one step further; None where it has to wait."""
        # A candidate that the overlay names is promoted or taken back: given up, it would stay deployed.
        if run.attempts > self._plan.attempts and run.state is not State.CANARY:
            why = run.facts.error or "it was interrupted each time"
            note = f"{run.state.value} was attempted {self._plan.attempts} times: {why}"
            return self._runs.advance(run, Move(State.FAILED, run.facts, note), self._steps.now())
        self._runs.renew(run, self._steps.now(), self._lease_ms)
        further = self._steps.step(run)
        if further is None:
            self._runs.release(run, waiting=True)
            return None
        facts = {"run": run.id, "model": run.model, "state": further.state.value, "error": None}
        _log.info("a run goes on", extra=facts)
        return further

    def _undo(self, model: str) -> bool:
        """Take banned models out of the overlay: promoted ones that were rolled back since, and late pushes."""
        registry, well = Registry(self._steps.database), True
        seen: set[str] = set()
        for run in (*self._runs.ended_as(model, State.PROMOTED), *self._pushed_late(model)):
            candidate = run.facts.candidate
            if candidate in seen:
                continue
            seen.add(candidate)
            if registry.banned(candidate):
                try:
                    self._steps.undo(run)
                except StepError as error:
                    _log.warning("a model is not taken back yet", extra={"run": run.id, "error": str(error)})
                    well = False
        return well

    def _pushed_late(self, model: str) -> Iterator[Run]:
        """Yield the runs whose candidate a worker may push yet that was paused just before, and has lost the run."""
        since = self._steps.now() - _DAY_MS + 1
        for state in _TAKEN_BACK:
            for run in self._runs.ended_as(model, state, since):
                if any(step.state is State.PROPOSED for step in self._runs.steps(run.id)):
                    yield run

    def _tidy(self) -> None:
        """Erase what ended runs hold of people's texts; the same texts may be those of a run that goes on."""
        needed = {run.facts.dataset for run in self._runs.unfinished()}
        for run in self._runs.ended_last(_LOOK_BACK):
            dataset = run.facts.dataset
            self._steps.workshop.forget_texts(run.id, "" if dataset in needed else dataset)

    @property
    def _lease_ms(self) -> int:
        return round(self._plan.lease_s * _MS)
