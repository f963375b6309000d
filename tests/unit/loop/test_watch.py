"""What the metrics say of models and runs: no figure of before, and nothing ends the looking."""

from pathlib import Path
from threading import Event
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mlapi.feedback.runs import Runs, State
from mlapi.feedback.sqlite import SqliteDatabase
from mlapi.feedback.votes import Sample
from mlapi.loop import watch as module
from mlapi.loop.plan import ModelPlan, Plan
from mlapi.loop.watch import Watch
from mlapi.observability.metrics import LearningMetrics
from tests.feedback_votes import store_over, vote

PLAN = Plan("folder", {"lab": ModelPlan(champion="c", train=(("true",),), judge=("true",), bundle="b")})


def test_accuracy_is_that_of_the_latest_model_or_not_there(tmp_path: Path) -> None:
    database, registry = SqliteDatabase(tmp_path / "feedback.db", "f" * 16), CollectorRegistry()
    store = store_over(database)
    watch = Watch(PLAN, Runs(database), store, LearningMetrics(registry), close=database.close)

    def found() -> tuple[float | None, float | None]:
        watch.look(5000)
        labels = {"model": "lab", "sample": "texts"}
        value = registry.get_sample_value("mlapi_model_accuracy", {**labels, "bound": "value"})
        return value, registry.get_sample_value("mlapi_model_accuracy_opinions", labels)

    assert found() == (None, 0.0)
    store.record([vote(model="lab", sample=Sample.TEXTS)])
    assert found() == (0.0, 1.0)
    # Nobody was asked about the next model yet.
    store.record([vote(model="lab", answer="next", model_digest="1e" * 16, time_ms=2000)])
    assert found() == (None, 0.0)
    store.record([vote(model="lab", subject="bob", sample=Sample.TEXTS, time_ms=3000)])
    assert found() == (0.0, 1.0)
    for subject in ("alice", "bob"):
        store.erase_subject("default", subject, 4000)
    assert found() == (None, 0.0)
    database.close()


def test_whatever_goes_wrong_it_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY_S", 0.0)
    looked = Event()

    class Broken:
        """Holds a run that this program cannot read, once."""

        times = 0

        def counts(self) -> dict[tuple[str, State], int]:
            self.times += 1
            if self.times == 1:
                return {("lab", State("a state of a later version")): 1}
            looked.set()
            return {}

        def latest(self, *_: object) -> list[Any]:
            return []

    class Empty:
        def opinions(self, _: str) -> list[Any]:
            return []

        served = opinions

    broken: Any = Broken()
    empty: Any = Empty()
    watch = Watch(PLAN, broken, empty, LearningMetrics(CollectorRegistry()), close=lambda: None)
    watch.start()
    assert looked.wait(5)
    watch.end()
