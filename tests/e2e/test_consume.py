"""`mlapi consume` with a real broker: nothing is lost, what is repeated is identical, poison is set aside."""

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import aiokafka
import pytest

from mlapi.settings import LAB_BUNDLE
from tests.command_line import mlapi
from tests.kafka_broker import KafkaBroker
from tests.service_process import eventually, mlapi_environment

COUNT = 100_000
POISON = 500


def value(number: int) -> bytes:
    """The message of that number; one in five hundred cannot be read."""
    if number % POISON == 7:
        return b"poison %d" % number
    return json.dumps({"n": number, "text": f"a warm and funny film {number % 7_000}"}).encode()


async def produce(broker: KafkaBroker, count: int) -> None:
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=broker.address, linger_ms=20)
    await producer.start()
    try:
        for number in range(count):
            await producer.send("texts", value(number), key=b"%d" % number, headers=[("trace", b"%d" % number)])
        await producer.send("texts", None, key=b"gone")
        await producer.flush()
    finally:
        await producer.stop()


async def read(broker: KafkaBroker, topic: str) -> list[Any]:
    """Everything that is in a topic now."""
    consumer = aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=broker.address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        records: list[Any] = []
        places = consumer.assignment()
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for found in (await consumer.getmany(timeout_ms=500)).values():
                records += found
        return records
    finally:
        await consumer.stop()


def ends(broker: KafkaBroker, topic: str) -> int:
    async def ask() -> int:
        consumer = aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=broker.address)
        await consumer.start()
        try:
            return int(sum((await consumer.end_offsets(consumer.assignment())).values()))
        finally:
            await consumer.stop()

    return asyncio.run(ask())


def reached(broker: KafkaBroker, count: int) -> bool:
    return ends(broker, "scores") >= count


def start(broker: KafkaBroker, log: Path, *options: str) -> "subprocess.Popen[bytes]":
    topics = ("--in", "texts", "--out", "scores", "--dead-letters", "dead")
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "mlapi", "consume", "--brokers", broker.address, *topics, *options],
            env=mlapi_environment({"MLAPI_BUNDLE": str(LAB_BUNDLE)}),
            stdout=file,
            stderr=file,
        )


def check(broker: KafkaBroker, count: int) -> int:
    """Each message has its answer, or is a dead letter; returns how many answers there are besides."""
    answers = defaultdict(list)
    for record in asyncio.run(read(broker, "scores")):
        answers[record.key].append(
            (record.value, record.timestamp, dict(record.headers)["trace"] if record.value else b"")
        )
    dead = {record.key: record for record in asyncio.run(read(broker, "dead"))}
    poison = {b"%d" % number for number in range(7, count, POISON)}
    assert set(dead) == poison
    assert {record.value for record in dead.values()} == {b"poison " + key for key in poison}
    assert {dict(record.headers)["mlapi-error"] for record in dead.values()} == {b"invalid_json"}
    assert set(answers) == {b"%d" % number for number in range(count)} - poison | {b"gone"}
    assert {key for key, found in answers.items() if len(set(found)) > 1} == set()
    assert answers[b"gone"][0][0] is None
    first = json.loads(answers[b"0"][0][0])
    assert first["n"] == 0
    assert first["label"] == "POSITIVE"
    return sum(map(len, answers.values())) - len(answers)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_three_times_while_the_broker_is_restarted(tmp_path: Path) -> None:
    chance, log = random.Random(5), tmp_path / "consume.log"  # noqa: S311  reproducible, not secret
    with KafkaBroker(tmp_path) as broker:
        asyncio.run(produce(broker, COUNT))
        done = 0
        for _ in range(3):
            process = start(broker, log)
            done += chance.randrange(5_000, 20_000)
            eventually(partial(reached, broker, done), "some answers", 120)
            process.send_signal(signal.SIGKILL)
            assert process.wait(30) == -signal.SIGKILL
        assert ends(broker, "scores") < COUNT
        process = start(broker, log, "--idle-exit", "20")
        before = ends(broker, "scores")
        eventually(lambda: ends(broker, "scores") > before, "the fourth goes on", 120)
        broker.restart()
        assert process.wait(600) == 0, log.read_text(encoding="utf-8")
        repeated = check(broker, COUNT)
        print(f"{COUNT} messages, {repeated} answers more than once")  # noqa: T201  for the reader of a long test


@pytest.mark.long
@pytest.mark.timeout(300)
def test_it_stops_as_asked_and_shares_partitions(tmp_path: Path) -> None:
    count = 5_000
    with KafkaBroker(tmp_path) as broker:
        asyncio.run(produce(broker, count))
        first = start(broker, tmp_path / "first.log", "--batch", "50")
        eventually(lambda: ends(broker, "scores") > 100, "the first goes on", 120)
        second = start(broker, tmp_path / "second.log", "--idle-exit", "15")
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0, (tmp_path / "first.log").read_text(encoding="utf-8")
        assert second.wait(120) == 0, (tmp_path / "second.log").read_text(encoding="utf-8")
        check(broker, count)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    security = tmp_path / "kafka.json"
    security.write_text('{"password": "x"}', encoding="ascii")
    topics = ("--brokers", "127.0.0.1:9", "--in", "texts", "--out", "scores")
    settings = {"bundle": str(LAB_BUNDLE)}
    for options, code, words in (
        (("--kafka-file", str(security)), 2, "password is none of"),
        (("--model", "other"), 2, "there is no model other"),
        (("--top", "2", "--all-labels"), 2, "cannot be given together"),
        ((), 1, "Kafka at 127.0.0.1:9"),
    ):
        found, said = mlapi(settings, "consume", *topics, *options)
        assert (found, words in said) == (code, True), said
