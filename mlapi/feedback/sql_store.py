"""The store of feedback over a database: who thinks what of which text, and the events that say how it came to that."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from mlapi.feedback.base import Erased, Verdict
from mlapi.feedback.chain import append
from mlapi.feedback.database import Database, Session
from mlapi.feedback.events import (
    ItemErased,
    ItemsMerged,
    SubjectErased,
    TextsExpired,
    VoteCast,
)
from mlapi.feedback.verification import verify
from mlapi.feedback.votes import Opinion, Sample, Served, Status, Vote

_DAY_MS: Final = 86_400_000


class SqlStore:
    """Keeps opinions and events in a database."""

    def __init__(self, database: Database, *, text_days: float, token: Callable[[], str]) -> None:
        """Take the database.

        Args:
            database: is closed with the store.
            text_days: how long a text and a comment are kept, in days.
            token: makes random numbers that never repeat, for texts and subjects.
        """
        self._database = database
        self._text_ms = round(text_days * _DAY_MS)
        self._token = token

    def record(self, votes: Sequence[Vote]) -> list[Status]:
        """Take votes, all of them or none; they are safe when this returns.

        Raises:
            StoreError: the database failed; nothing was taken, unless the answer to a commit was lost.
        """
        with self._database.writing() as session:
            return [self._take(session, vote) for vote in votes]

    def check(self) -> None:
        """Make sure that the database answers.

        Raises:
            StoreError: it does not.
        """
        with self._database.reading() as session:
            session.row("SELECT seq FROM chain")

    def purge(self, now: int) -> int:
        """Erase texts and comments whose time is over at `now`, milliseconds since 1970; return how many.

        Raises:
            StoreError: the database failed.
        """
        with self._database.writing() as session:
            count = session.run("DELETE FROM texts WHERE expires <= ?", now)
            count += session.run("DELETE FROM comments WHERE expires <= ?", now)
            if count:
                append(session, now, TextsExpired(count))
        if count:
            self._database.forget()
        return count

    def erase_answer(self, answer: str, now: int) -> Erased:
        """Erase all that is known of one text, by the pseudonym of an answer to it.

        Raises:
            StoreError: the database failed.
        """
        with self._database.writing() as session:
            found = session.row("SELECT item FROM answers WHERE answer = ?", answer)
            if found is None:
                return Erased(0, 0)
            (item,) = found
            opinions = session.run("DELETE FROM opinions WHERE item = ?", item)
            texts = session.run("DELETE FROM texts WHERE item = ?", item)
            session.run("DELETE FROM comments WHERE item = ?", item)
            session.run("DELETE FROM answers WHERE item = ?", item)
            session.run("DELETE FROM served WHERE item = ?", item)
            session.run("DELETE FROM items WHERE id = ?", item)
            append(session, now, ItemErased(item))
        self._database.forget()
        return Erased(opinions, texts)

    def erase_subject(self, tenant: str, subject: str, now: int) -> Erased:
        """Erase the opinions of a subject, the texts that it gave, and which random number stood for it.

        Raises:
            StoreError: the database failed.
        """
        with self._database.writing() as session:
            found = session.row("SELECT id FROM subjects WHERE tenant = ? AND pseudonym = ?", tenant, subject)
            if found is None:
                return Erased(0, 0)
            (number,) = found
            opinions = session.run("DELETE FROM opinions WHERE subject = ?", number)
            texts = session.run("DELETE FROM texts WHERE subject = ?", number)
            session.run("DELETE FROM comments WHERE subject = ?", number)
            session.run("DELETE FROM subjects WHERE id = ?", number)
            append(session, now, SubjectErased(number))
        self._database.forget()
        return Erased(opinions, texts)

    def opinions(self, model: str) -> Iterator[Opinion]:
        """Yield the current opinions on texts of one model, by item and subject.

        Raises:
            StoreError: the database failed.
        """
        with self._database.reading() as session:
            for row in session.rows(
                "SELECT o.item, o.subject, o.label, o.served_label, o.served_score, o.model_digest, o.sample, "
                "o.time_ms, t.text FROM opinions o JOIN items i ON i.id = o.item LEFT JOIN texts t ON t.item = o.item "
                "WHERE i.model = ? ORDER BY o.item, o.subject",
                model,
            ):
                text = None if row[8] is None else bytes(row[8]).decode()
                item, subject, label, served_label, score, digest = row[:6]
                yield Opinion(item, subject, label, served_label, score, digest, Sample(row[6]), row[7], text)

    def served(self, model: str) -> Iterator[Served]:
        """Yield what the models behind one name said of texts that there are opinions on, by item and digest.

        Raises:
            StoreError: the database failed.
        """
        with self._database.reading() as session:
            for item, digest, label, score, sample in session.rows(
                "SELECT s.item, s.model_digest, s.label, s.score, s.sample FROM served s "
                "JOIN items i ON i.id = s.item WHERE i.model = ? ORDER BY s.item, s.model_digest",
                model,
            ):
                yield Served(item, digest, label, score, Sample(sample))

    def verify(self) -> Verdict:
        """Compute all hashes anew, and compare the opinions with what the events lead to.

        Raises:
            StoreError: the database failed.
        """
        with self._database.reading() as session:
            return verify(session)

    def has_event(self, own_hash: str) -> bool:
        """Tell whether there is an event with this hash.

        Raises:
            StoreError: the database failed.
        """
        with self._database.reading() as session:
            return session.row("SELECT seq FROM events WHERE hash = ?", own_hash) is not None

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _take(self, session: Session, vote: Vote) -> Status:
        subject = self._subject(session, vote)
        item = self._item(session, vote)
        before = session.row(
            "SELECT label, model_digest, sample FROM opinions WHERE item = ? AND subject = ?", item, subject
        )
        kept = vote.text is not None and self._keep_text(session, vote, item, subject)
        said_anew = vote.comment is not None and self._keep_comment(session, vote, item, subject)
        if before == (vote.label, vote.model_digest, vote.sample.value) and not kept and not said_anew:
            return Status.UNCHANGED
        seq = append(
            session,
            vote.time_ms,
            VoteCast(
                item=item,
                subject=subject,
                label=vote.label,
                served_label=vote.served_label,
                served_score=vote.served_score,
                model=vote.model,
                model_digest=vote.model_digest,
                sample=vote.sample.value,
                text=kept,
            ),
        )
        session.run(
            "INSERT INTO opinions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (item, subject) DO UPDATE SET "
            "seq = excluded.seq, time_ms = excluded.time_ms, label = excluded.label, "
            "served_label = excluded.served_label, served_score = excluded.served_score, "
            "model_digest = excluded.model_digest, sample = excluded.sample",
            *(item, subject, seq, vote.time_ms, vote.label),
            *(vote.served_label, vote.served_score, vote.model_digest, vote.sample.value),
        )
        session.run(
            "INSERT INTO served VALUES (?, ?, ?, ?, ?) ON CONFLICT (item, model_digest) DO UPDATE SET "
            "sample = served.sample | excluded.sample",
            *(item, vote.model_digest, vote.served_label, vote.served_score, vote.sample.value),
        )
        return Status.CREATED if before is None else Status.REPLACED

    def _keep_text(self, session: Session, vote: Vote, item: str, subject: str) -> bool:
        """Keep a text for as long as the last consent says; return whether it was not there before."""
        text = (vote.text or "").encode()
        renewed = session.run("UPDATE texts SET expires = ? WHERE item = ?", vote.time_ms + self._text_ms, item)
        if not renewed:
            session.run("INSERT INTO texts VALUES (?, ?, ?, ?)", item, subject, text, vote.time_ms + self._text_ms)
        return not renewed

    def _keep_comment(self, session: Session, vote: Vote, item: str, subject: str) -> bool:
        """Keep a comment for as long as the last consent says; return whether it is another one than before."""
        comment, expires = (vote.comment or "").encode(), vote.time_ms + self._text_ms
        before = session.row("SELECT comment FROM comments WHERE item = ? AND subject = ?", item, subject)
        session.run(
            "INSERT INTO comments VALUES (?, ?, ?, ?) ON CONFLICT (item, subject) DO UPDATE "
            "SET comment = excluded.comment, expires = excluded.expires",
            *(item, subject, comment, expires),
        )
        return before is None or bytes(before[0]) != comment

    def _subject(self, session: Session, vote: Vote) -> str:
        new = self._token()
        session.run(
            "INSERT INTO subjects VALUES (?, ?, ?) ON CONFLICT (tenant, pseudonym) DO NOTHING",
            *(new, vote.tenant, vote.subject),
        )
        found = session.row("SELECT id FROM subjects WHERE tenant = ? AND pseudonym = ?", vote.tenant, vote.subject)
        return str(found[0]) if found else new

    def _item(self, session: Session, vote: Vote) -> str:
        """Return the item of a vote's text, known by its key or by an answer to it, else a new one."""
        by_answer = session.row(
            "SELECT i.id, i.text_key FROM answers a JOIN items i ON i.id = a.item WHERE a.answer = ?", vote.answer
        )
        if by_answer and (vote.text_key is None or by_answer[1] is not None):
            return str(by_answer[0])
        by_text = vote.text_key and session.row(
            "SELECT id FROM items WHERE model = ? AND text_key = ?", vote.model, vote.text_key
        )
        if by_answer and by_text:
            _merge(session, str(by_answer[0]), str(by_text[0]), vote.time_ms)
            return str(by_text[0])
        if by_answer:
            session.run("UPDATE items SET text_key = ? WHERE id = ?", vote.text_key, by_answer[0])
            return str(by_answer[0])
        item = str(by_text[0]) if by_text else self._token()
        if not by_text:
            session.run("INSERT INTO items VALUES (?, ?, ?)", item, vote.model, vote.text_key)
        session.run("INSERT INTO answers VALUES (?, ?)", vote.answer, item)
        return item


def _merge(session: Session, item: str, into: str, at: int) -> None:
    """Turn the opinions on an item whose text was not known into opinions on the item that it turned out to be.

    Of two opinions of one subject the later one stays.
    """
    both = "EXISTS (SELECT 1 FROM opinions t WHERE t.item = ? AND t.subject = o.subject"
    session.run(f"DELETE FROM opinions AS o WHERE o.item = ? AND {both} AND t.seq > o.seq)", item, into)  # noqa: S608
    session.run(f"DELETE FROM opinions AS o WHERE o.item = ? AND {both})", into, item)  # noqa: S608
    session.run("UPDATE opinions SET item = ? WHERE item = ?", into, item)
    session.run(
        "DELETE FROM comments AS o WHERE o.item = ? AND "
        "EXISTS (SELECT 1 FROM comments t WHERE t.item = ? AND t.subject = o.subject)",
        *(into, item),
    )
    session.run("UPDATE comments SET item = ? WHERE item = ?", into, item)
    session.run(
        "DELETE FROM served AS o WHERE o.item = ? AND "
        "EXISTS (SELECT 1 FROM served t WHERE t.item = ? AND t.model_digest = o.model_digest)",
        *(item, into),
    )
    session.run("UPDATE served SET item = ? WHERE item = ?", into, item)
    session.run("UPDATE answers SET item = ? WHERE item = ?", into, item)
    session.run("DELETE FROM items WHERE id = ?", item)
    append(session, at, ItemsMerged(item, into))
