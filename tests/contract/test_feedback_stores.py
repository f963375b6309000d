"""One behaviour for the store of feedback, in SQLite and in PostgreSQL."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest

from mlapi.feedback.base import Erased, StoreError
from mlapi.feedback.database import Database
from mlapi.feedback.postgres import PostgresDatabase
from mlapi.feedback.sql_store import SqlStore
from mlapi.feedback.sqlite import SqliteDatabase
from mlapi.feedback.votes import Sample, Status, Vote
from tests.feedback_votes import DAY_MS, store_over, vote

OpenDatabase: TypeAlias = Callable[[], Database]


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the database is: a path, or a URL."""
    if kind == "postgres":
        return str(request.getfixturevalue("postgres_server").url)
    return str(tmp_path / "folder" / "feedback.db")


@pytest.fixture
def open_database(kind: str, place: str) -> Iterator[OpenDatabase]:
    opened: list[Database] = []

    def open_one(fingerprint: str = "mine") -> Database:
        opened.append(
            PostgresDatabase(place, fingerprint) if kind == "postgres" else SqliteDatabase(Path(place), fingerprint)
        )
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
def store(open_database: OpenDatabase) -> SqlStore:
    return store_over(open_database())


def opinions(store: SqlStore) -> list[tuple[str, str, str | None]]:
    """Item, label and text of all opinions."""
    return [(opinion.item, opinion.label, opinion.text) for opinion in store.opinions("project")]


def tamper(kind: str, place: str, statement: str) -> None:
    """Change the database behind the store's back, as its owner can."""
    if kind == "postgres":
        with psycopg.connect(place) as connection:
            connection.execute("ALTER TABLE events DISABLE TRIGGER USER")
            connection.execute(statement)
    else:
        opened = sqlite3.connect(place)
        opened.execute("DROP TRIGGER events_are_kept_update")
        opened.execute("DROP TRIGGER events_are_kept_delete")
        opened.execute(statement)
        opened.commit()
        opened.close()


def test_a_subject_has_one_opinion_on_a_text_and_the_later_one_counts(store: SqlStore) -> None:
    assert store.record([vote()]) == [Status.CREATED]
    assert store.record([vote(), vote(label="POSITIVE"), vote(label="POSITIVE"), vote(subject="bob")]) == [
        Status.UNCHANGED,
        Status.REPLACED,
        Status.UNCHANGED,
        Status.CREATED,
    ]
    assert sorted(label for _, label, _ in opinions(store)) == ["NEGATIVE", "POSITIVE"]
    assert store.verify() == (3, store.verify().head, [])


def test_the_same_comment_again_changes_nothing(store: SqlStore) -> None:
    with_comment = vote(text="fine", comment="really")
    assert store.record([with_comment, with_comment]) == [Status.CREATED, Status.UNCHANGED]
    assert store.record([vote(text="fine", comment="not really")]) == [Status.REPLACED]
    assert store.verify() == (2, store.verify().head, [])


def test_tenants_do_not_replace_each_others_opinions(store: SqlStore) -> None:
    assert store.record([vote(), vote(tenant="other")]) == [Status.CREATED, Status.CREATED]


def test_what_was_written_is_what_is_read(store: SqlStore) -> None:
    text = "a NUL \0, an emoji \N{SLIGHTLY SMILING FACE}, a quote ' and a ? mark"
    store.record([vote(text=text, comment=text, served_score=0.712790429592132568359375, sample=Sample.REQUESTS)])
    (opinion,) = store.opinions("project")
    assert opinion.text == text
    assert (opinion.served_label, opinion.served_score) == ("POSITIVE", 0.712790429592132568359375)
    assert (opinion.model_digest, opinion.sample, opinion.time_ms) == ("0f" * 16, Sample.REQUESTS, 1000)
    assert list(store.opinions("lab")) == []


def test_an_opinion_survives_a_change_of_the_model_where_its_text_was_given(store: SqlStore) -> None:
    store.record([vote(text="fine")])
    later = vote(text="fine", answer="answer-of-the-next-model", model_digest="1e" * 16, label="POSITIVE")
    assert store.record([later]) == [Status.REPLACED]
    assert len(opinions(store)) == 1


def test_a_text_that_becomes_known_joins_what_was_said_of_its_answers(store: SqlStore) -> None:
    """Of each subject the later opinion stays, on whichever of the two items it was."""
    old, new = {"answer": "old"}, {"answer": "new", "model_digest": "1e" * 16}
    store.record([vote(subject="alice", text="fine", **old)])
    store.record([vote(subject="alice", label="POSITIVE", **new), vote(subject="carol", **new)])
    store.record([vote(subject="bob", label="POSITIVE", **new), vote(subject="bob", text="fine", **old)])
    assert len({item for item, _, _ in opinions(store)}) == 2
    assert store.record([vote(subject="dave", text="fine", **new)]) == [Status.CREATED]
    found = {opinion.subject: opinion.label for opinion in store.opinions("project")}
    assert len({item for item, _, _ in opinions(store)}) == 1
    assert sorted(found.values()) == ["NEGATIVE", "NEGATIVE", "NEGATIVE", "POSITIVE"]
    # Alice's later opinion was on the new answer, Bob's on the old one.
    assert store.record([vote(subject="alice", label="POSITIVE", **new), vote(subject="bob", **old)]) == [
        Status.UNCHANGED,
        Status.UNCHANGED,
    ]
    assert store.verify().faults == []


def test_votes_are_taken_together_or_not_at_all(store: SqlStore) -> None:
    broken = vote(subject="bob", label=None)
    with pytest.raises((StoreError, sqlite3.Error, psycopg.Error, TypeError)):
        store.record([vote(), broken])
    assert opinions(store) == []
    assert store.verify().events == 0
    assert store.record([vote()]) == [Status.CREATED]


def test_events_cannot_be_changed_or_removed(store: SqlStore, kind: str, place: str) -> None:
    store.record([vote()])
    for statement in ("UPDATE events SET time_ms = 2", "DELETE FROM events"):
        if kind == "postgres":
            with psycopg.connect(place) as connection, pytest.raises(psycopg.Error, match="only ever added"):
                connection.execute(statement)
        else:
            opened = sqlite3.connect(place)
            with pytest.raises(sqlite3.Error, match="only ever added"):
                opened.execute(statement)
            opened.close()
    assert store.verify().faults == []


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE events SET content = replace(content, 'NEGATIVE', 'POSITIVE') WHERE seq = 1", "event 1 was changed"),
        ("UPDATE events SET time_ms = time_ms + 1 WHERE seq = 2", "event 2 was changed"),
        ("DELETE FROM events WHERE seq = 2", "event 2 is missing"),
        ("DELETE FROM events WHERE seq = 3", "the last events are missing"),
        ("UPDATE events SET kind = 'merged' WHERE seq = 1", "event 1 is of another kind"),
        ("UPDATE opinions SET label = 'POSITIVE'", "is not what the events say"),
        ("DELETE FROM opinions", "is missing"),
    ],
)
def test_whoever_tampers_is_noticed(store: SqlStore, kind: str, place: str, statement: str, fault: str) -> None:
    store.record([vote(subject=name) for name in ("alice", "bob", "carol")])
    assert store.verify().faults == []
    tamper(kind, place, statement)
    assert any(fault in found for found in store.verify().faults), store.verify().faults


def test_a_text_is_erased_and_its_events_stay(store: SqlStore, kind: str, place: str) -> None:
    store.record([vote(text="fine", comment="really"), vote(subject="bob", text="fine"), vote(answer="other")])
    before = store.verify()
    assert store.erase_answer("answer-1", 2000) == Erased(opinions=2, texts=1)
    assert len(opinions(store)) == 1
    after = store.verify()
    assert (after.events, after.faults) == (before.events + 1, [])
    assert store.erase_answer("answer-1", 2000) == Erased(0, 0)
    assert rows(kind, place, "SELECT count(*) FROM texts") == [(0,)]
    assert rows(kind, place, "SELECT count(*) FROM comments") == [(0,)]


def test_a_subject_is_erased_and_nothing_leads_from_its_events_to_it(store: SqlStore, kind: str, place: str) -> None:
    store.record([vote(text="fine"), vote(subject="bob", text="fine"), vote(subject="bob", text="bad", answer="b")])
    assert store.erase_subject("default", "bob", 2000) == Erased(opinions=2, texts=1)
    assert [label for _, label, _ in opinions(store)] == ["NEGATIVE"]
    assert store.verify().faults == []
    assert rows(kind, place, "SELECT pseudonym FROM subjects") == [("alice",)]
    # Who comes back is somebody new.
    assert store.record([vote(subject="bob", text="fine")]) == [Status.CREATED]
    assert store.verify().faults == []


def rows(kind: str, place: str, query: str) -> list[tuple[object, ...]]:
    if kind == "postgres":
        with psycopg.connect(place) as connection:
            return list(connection.execute(query))
    opened = sqlite3.connect(place)
    found = opened.execute(query).fetchall()
    opened.close()
    return found


def test_texts_are_kept_for_their_time_and_a_new_consent_renews_it(open_database: OpenDatabase) -> None:
    store = store_over(open_database(), text_days=10)
    store.record([vote(text="old"), vote(text="renewed", answer="answer-2")])
    store.record([vote(subject="bob", text="renewed", answer="answer-2", time_ms=1000 + 5 * DAY_MS)])
    assert store.purge(1000 + 9 * DAY_MS) == 0
    assert store.purge(1000 + 10 * DAY_MS) == 1
    assert {text for _, _, text in opinions(store)} == {None, "renewed"}
    assert len(opinions(store)) == 3
    assert store.verify().faults == []


def test_a_store_of_another_secret_or_version_is_refused(
    store: SqlStore, open_database: Callable[[str], Database], kind: str, place: str
) -> None:
    store.record([vote()])
    with pytest.raises(StoreError, match="another secret"):
        store_over(open_database("theirs")).check()
    tamper(kind, place, "UPDATE meta SET value = '99' WHERE name = 'schema'")
    with pytest.raises(StoreError, match="of version 99"):
        store_over(open_database("mine")).check()


def test_several_processes_write_at_once(open_database: OpenDatabase, store: SqlStore) -> None:
    """Each thread stands for a process: it has a connection of its own."""
    store.check()
    failures: list[Exception] = []

    def write(number: int) -> None:
        database = open_database()
        own = SqlStore(database, text_days=1, token=iter(f"{number}-{count}" for count in range(1000)).__next__)
        try:
            for count in range(5):
                own.record([vote(subject=f"s{number}-{count}"), vote(subject=f"s{number}-{count}", answer="other")])
        except Exception as error:  # noqa: BLE001  told by the test itself
            failures.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(opinions(store)) == 40
    assert store.verify() == (40, store.verify().head, [])


def test_many_opinions_are_read_in_parts(store: SqlStore) -> None:
    votes: list[Vote] = [vote(subject=f"s{number}") for number in range(1200)]
    store.record(votes)
    assert len(opinions(store)) == 1200
    assert store.verify().faults == []
