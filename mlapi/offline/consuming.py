"""Answers the texts of a Kafka topic: produce, make sure, then commit: nothing is lost, and repeats are identical."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from mlapi.observability.metrics import ConsumerMetrics
from mlapi.offline.answer_shape import AnswerShape
from mlapi.offline.base import Answerer, OfflineError, Ranking, Refused, UsageError
from mlapi.offline.text_output import json_line
from mlapi.offline.text_rows import ReadLine

try:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, MessageSizeTooLargeError
except ImportError as error:
    _MSG = "Kafka needs the package aiokafka: pip install 'mlapi[kafka]'"
    raise OfflineError(_MSG) from error

_POLL_MS: Final = 500
_KEEP_ALIVE_S: Final = 1.0
_RETRY_S: Final = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Topics:
    """Where messages come from, where answers go, and where messages go that cannot be answered."""

    source: str
    target: str
    dead_letters: str


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be produced for one record."""

    topic: str
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Writer:
    """Makes the message that a record becomes; of one record always the same."""

    def __init__(
        self, topics: Topics, read: ReadLine, shape: AnswerShape, keep: Sequence[str] | None, digest: str
    ) -> None:
        """Prepare.

        Args:
            topics: where messages go.
            read: reads a value.
            shape: the columns of an answer.
            keep: which columns of a value are written, too; None: all.
            digest: the model digest.
        """
        self._topics = topics
        self._read = read
        self._shape = shape
        self._keep = keep
        self._digest = digest.encode()

    def text(self, record: Any) -> str | Refused | None:  # noqa: ANN401  a record of aiokafka
        """Return the text of a record; None where there is no value at all: it tells to delete what the key means."""
        if record.value is None:
            return None
        read = self._read(record.value)
        return Refused("no_text", "the value is blank") if read is None else read[1]

    def message(self, record: Any, answer: Ranking | Refused | None) -> Message:  # noqa: ANN401  as above
        """Return what is produced for a record."""
        source = f"{record.topic}/{record.partition}/{record.offset}".encode()
        headers = [*record.headers, ("mlapi-model", self._digest), ("mlapi-source", source)]
        if answer is None:
            return Message(self._topics.target, None, headers)
        if isinstance(answer, Ranking):
            read = self._read(record.value)
            columns = read[0] if read else {}
            kept = columns if self._keep is None else {name: columns[name] for name in self._keep if name in columns}
            answered = self._shape.columns(answer)
            if answered.keys().isdisjoint(kept):
                return Message(self._topics.target, json_line(kept, answered)[:-1], headers)
            answer = Refused("name_taken", "the value has a field of the name of one of the answer's")
        reasons = [("mlapi-error", answer.code.encode()), ("mlapi-error-detail", answer.detail.encode())]
        return Message(self._topics.dead_letters, record.value, [*headers, *reasons])


class Consumption:
    """Batches of one topic's records, one after the other."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        answerer: Answerer,
        writer: Writer,
        *,
        thread: Executor,
        batch: int,
        patience_s: float,
        metrics: ConsumerMetrics,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Take the parts; consumer and producer are started.

        Args:
            consumer: subscribed, without automatic commits.
            producer: waits for all replicas.
            answerer: answers texts.
            writer: makes messages.
            thread: a single thread, in which texts are answered.
            batch: records in a batch at most.
            patience_s: how long the brokers may refuse messages.
            metrics: where records are counted.
            clock: tells seconds.
            sleep: waits.
        """
        self._consumer = consumer
        self._producer = producer
        self._answerer = answerer
        self._writer = writer
        self._thread = thread
        self._batch = batch
        self._patience_s = patience_s
        self._metrics = metrics
        self._clock = clock
        self._sleep = sleep
        self._late: list[Any] = []
        self._done: dict[TopicPartition, int] = {}

    async def run(self, stop: asyncio.Event, idle_s: float | None) -> None:
        """Go on until told to stop, or until nothing has come for `idle_s` seconds; the batch in hand is finished.

        Raises:
            OfflineError: it cannot go on; what was not committed will come again.
        """
        last = self._clock()
        while not stop.is_set():
            records, self._late = self._late, []
            if not records:
                found = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=self._batch)
                records = [record for together in found.values() for record in together]
            if records:
                await self._handle(records)
                last = self._clock()
            elif idle_s is not None and self._clock() - last >= idle_s:
                return
            self._show_lag()

    async def _handle(self, records: Sequence[Any]) -> None:
        texts = [self._writer.text(record) for record in records]
        answered = iter(await self._answer([text for text in texts if isinstance(text, str)]))
        answers = [next(answered) if isinstance(text, str) else text for text in texts]
        messages = [self._writer.message(record, answer) for record, answer in zip(records, answers, strict=True)]
        await self._deliver(records, messages)
        await self._commit(records)
        for answer in answers:
            result = "answered" if isinstance(answer, Ranking) else "deleted" if answer is None else "refused"
            self._metrics.messages.labels(result).inc()

    async def _answer(self, texts: Sequence[str]) -> list[Any]:
        """Answer in the thread; a long batch must not look to the group as if this member had died."""
        if not texts:
            return []
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._answerer.answer, texts)
        paused = False
        while not (await asyncio.wait({work}, timeout=_KEEP_ALIVE_S))[0]:
            # Asked again for partitions that came in between: those are not paused yet.
            self._consumer.pause(*self._consumer.assignment())
            paused = True
            found = await self._consumer.getmany(timeout_ms=0)
            self._late += [record for together in found.values() for record in together]
        if paused:
            self._consumer.resume(*(set(self._consumer.paused()) & self._consumer.assignment()))
        return work.result()

    async def _deliver(self, records: Sequence[Any], messages: Sequence[Message]) -> None:
        """Produce, and wait until all replicas have it; where brokers are away, again."""
        give_up_at = self._clock() + self._patience_s
        while True:
            try:
                await self._produce(records, messages)
            except KafkaError as error:
                if self._clock() >= give_up_at or not error.retriable:
                    msg = f"the answers cannot be produced: {error!r}"
                    raise OfflineError(msg) from error
                _log.warning("the answers are produced again: %r", error)
                await self._sleep(_RETRY_S)
            else:
                return

    async def _produce(self, records: Sequence[Any], messages: Sequence[Message]) -> None:
        sent = []
        for record, message in zip(records, messages, strict=True):
            partition = None
            if record.key is None:
                # What has no key keeps its order all the same.
                count = len(await self._producer.partitions_for(message.topic))
                partition = record.partition % count
            given: dict[str, Any] = {"key": record.key, "partition": partition, "timestamp_ms": record.timestamp}
            try:
                sent.append(await self._producer.send(message.topic, message.value, headers=message.headers, **given))
            except MessageSizeTooLargeError:
                refused = Refused("too_large", "with its answer, the message is larger than Kafka takes")
                dead = self._writer.message(record, refused)
                sent.append(await self._producer.send(dead.topic, dead.value, headers=dead.headers, **given))
        await self._producer.flush()
        # All of them, so that none fails unheard; one that no repetition mends counts first.
        failures = [item for item in await asyncio.gather(*sent, return_exceptions=True) if item is not None]
        errors = sorted((item for item in failures if isinstance(item, KafkaError)), key=lambda item: item.retriable)
        if errors:
            raise errors[0]

    async def _commit(self, records: Sequence[Any]) -> None:
        """Commit what is still this member's; what another one has by now comes again there, and becomes the same."""
        mine = self._consumer.assignment()
        ends = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}
        self._done |= ends
        try:
            await self._consumer.commit({place: offset for place, offset in ends.items() if place in mine})
        except (CommitFailedError, IllegalStateError) as error:
            _log.warning("the group has given these partitions to another member: %r", error)
        except KafkaError as error:
            # The next commit covers these records, too.
            _log.warning("what is done could not be committed: %r", error)

    def _show_lag(self) -> None:
        """Show how many messages lie behind what was done; of partitions that this member has."""
        self._metrics.lag.clear()
        mine = self._consumer.assignment()
        self._done = {place: offset for place, offset in self._done.items() if place in mine}
        for place, offset in self._done.items():
            if (end := self._consumer.highwater(place)) is not None:
                self._metrics.lag.labels(place.topic, str(place.partition)).set(max(0, end - offset))


@asynccontextmanager
async def connected(
    topics: Topics, brokers: str, group: str, since: str, security: Mapping[str, Any]
) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaProducer]]:
    """Connect to the brokers, and join the group; leave it in the end.

    Raises:
        UsageError: they are named, or to be approached, in a way that there is not.
        OfflineError: they do not answer, or let nobody in.
    """
    with _worded(brokers):
        producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all", linger_ms=5, **security)
        consumer = AIOKafkaConsumer(
            topics.source,
            bootstrap_servers=brokers,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset=since,
            isolation_level="read_committed",
            **security,
        )
    try:
        with _worded(brokers):
            await producer.start()
            await consumer.start()
        yield consumer, producer
    except KafkaError as error:
        msg = f"Kafka at {brokers}: {error!r}"
        raise OfflineError(msg) from error
    finally:
        await consumer.stop()
        await producer.stop()


@contextmanager
def _worded(brokers: str) -> Iterator[None]:
    """Say in words what the client for Kafka does not take."""
    try:
        yield
    except ValueError as error:
        msg = f"--brokers {brokers}, or --kafka-file: {error}"
        raise UsageError(msg) from error
