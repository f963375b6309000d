"""One behaviour for the registry of models, in SQLite and in PostgreSQL."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlapi.feedback.database import Database
from mlapi.feedback.postgres import PostgresDatabase
from mlapi.feedback.registry import Registered, Registry, RegistryError, StaleError
from mlapi.feedback.sqlite import SqliteDatabase
from tests.feedback_votes import store_over

ONE, TWO, THREE, FOUR = ("1" * 64, "2" * 64, "3" * 64, "4" * 64)


@pytest.fixture(params=["sqlite", "postgres"])
def open_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Database]]:
    url = str(request.getfixturevalue("postgres_server").url) if request.param == "postgres" else ""
    opened: list[Database] = []

    def open_one() -> Database:
        opened.append(PostgresDatabase(url, "mine") if url else SqliteDatabase(tmp_path / "feedback.db", "mine"))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
def database(open_database: Callable[[], Database]) -> Database:
    return open_database()


@pytest.fixture
def registry(database: Database) -> Registry:
    """With four models, each the parent of the next."""
    registry = Registry(database)
    for parent, digest in (("", ONE), (ONE, TWO), (TWO, THREE), (THREE, FOUR)):
        assert registry.register(Registered(digest, "lab", commit="abc", parent=parent), 1)
    return registry


def decisions(registry: Registry, digest: str) -> list[str]:
    return [found.decision for found in registry.lineage(digest)[0].decisions]


def test_a_model_is_registered_once_and_says_the_same_for_ever(registry: Registry) -> None:
    assert not registry.register(Registered(TWO, "lab", commit="abc", parent=ONE), 2)
    with pytest.raises(RegistryError, match="is registered already, and otherwise"):
        registry.register(Registered(TWO, "lab", commit="other", parent=ONE), 2)
    with pytest.raises(RegistryError, match="is not registered"):
        registry.register(Registered("5" * 64, "lab", parent="9" * 64), 2)
    with pytest.raises(RegistryError, match="is a model of lab, not of project"):
        registry.register(Registered("5" * 64, "project", parent=ONE), 2)


def test_the_champion_changes_if_it_is_the_expected_one(registry: Registry) -> None:
    assert registry.champion("lab") == ""
    with pytest.raises(StaleError, match="is nobody, not 1111"):
        registry.promote(TWO, ONE, "why not", 2)
    registry.promote(ONE, "", "first", 2)
    registry.promote(ONE, "", "the acknowledgement was lost", 3)
    with pytest.raises(StaleError, match="is 1111"):
        registry.promote(TWO, "", "too late", 3)
    registry.promote(TWO, ONE, "better", 4)
    assert registry.champion("lab") == TWO
    assert registry.champion("project") == ""
    assert (decisions(registry, ONE), decisions(registry, TWO)) == (["promoted"], ["promoted"])


def test_what_was_rejected_or_rolled_back_never_comes_back(registry: Registry) -> None:
    registry.promote(ONE, "", "first", 2)
    registry.reject(TWO, "worse", 3)
    registry.reject(TWO, "said twice", 3)
    with pytest.raises(RegistryError, match="was rejected, and stays so"):
        registry.promote(TWO, ONE, "again", 4)
    registry.promote(THREE, ONE, "better", 5)
    registry.promote(FOUR, THREE, "better still", 6)
    assert registry.roll_back(FOUR, "flips labels", 7) == THREE
    assert registry.roll_back(FOUR, "said twice", 7) == THREE
    with pytest.raises(RegistryError, match="was rolled back, and stays so"):
        registry.promote(FOUR, THREE, "again", 8)
    # The one before the one before: not the banned one, though it was promoted later.
    assert registry.roll_back(THREE, "worse than thought", 9) == ONE
    assert registry.champion("lab") == ONE
    with pytest.raises(RegistryError, match="no model of lab to go back to"):
        registry.roll_back(ONE, "nothing is left", 10)
    with pytest.raises(RegistryError, match="was promoted: roll it back"):
        registry.reject(ONE, "late", 10)
    assert decisions(registry, TWO) == ["rejected"]
    assert decisions(registry, FOUR) == ["promoted", "rolled_back"]


def test_the_lineage_names_data_decisions_and_parents(registry: Registry, database: Database) -> None:
    registry.note_dataset("d" * 64, "lab", 120, 2)
    registry.note_dataset("d" * 64, "lab", 120, 3)
    registry.register(Registered("5" * 64, "lab", dataset="d" * 64, run="run-7", parent=ONE), 3)
    registry.promote("5" * 64, "", "passed the gate", 4)
    newest, oldest = registry.lineage("55555555")
    assert (newest.facts.run, newest.champion, oldest.champion) == ("run-7", True, False)
    assert newest.dataset == ("d" * 64, 120, 4)
    assert [(found.decision, found.reason) for found in newest.decisions] == [("promoted", "passed the gate")]
    assert (oldest.facts.digest, oldest.dataset) == (ONE, None)
    with pytest.raises(RegistryError, match="0 registered models"):
        registry.lineage("abcdef")
    # All of it is in the chain, with the opinions.
    assert store_over(database).verify()[0::2] == (7, [])


def test_of_many_that_promote_at_once_one_does(registry: Registry, open_database: Callable[[], Database]) -> None:
    registry.promote(ONE, "", "first", 2)
    outcomes: list[str] = []
    barrier = threading.Barrier(3)

    def promote(digest: str) -> None:
        own = open_database()
        barrier.wait()
        try:
            Registry(own).promote(digest, ONE, "better", 3)
            outcomes.append(digest)
        except StaleError:
            outcomes.append("stale")
        finally:
            own.close()

    threads = [threading.Thread(target=promote, args=(digest,)) for digest in (TWO, THREE, FOUR)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[1:] == ["stale", "stale"]
    assert registry.champion("lab") == min(outcomes)
