"""`mlapi consume` with a real broker that lets in by password over TLS, and by certificate: who may, consumes."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import aiokafka
import pytest

from mlapi.settings import LAB_BUNDLE
from tests.certificates import Authority
from tests.command_line import mlapi
from tests.kafka_broker import KafkaBroker, Security

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

TEXTS = ("a warm and funny film", "a tedious film")


@pytest.fixture(scope="module")
def security(tmp_path_factory: pytest.TempPathFactory) -> Security:
    return Security(Authority(tmp_path_factory.mktemp("authority"), "kafka"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, security: Security) -> Iterator[KafkaBroker]:
    """A broker with two texts in a topic."""
    with KafkaBroker(tmp_path_factory.mktemp("broker"), security) as made:
        asyncio.run(produce(made))
        yield made


async def produce(broker: KafkaBroker) -> None:
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=broker.address)
    await producer.start()
    try:
        for text in TEXTS:
            await producer.send_and_wait("texts", json.dumps({"text": text}).encode())
    finally:
        await producer.stop()


async def labels(broker: KafkaBroker, topic: str) -> list[str]:
    """The labels in a topic, in the order of the texts."""
    consumer = aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=broker.address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        found: list[dict[str, str]] = []
        while len(found) < len(TEXTS):
            async with asyncio.timeout(60):
                found.append(json.loads((await consumer.getone()).value))
        return [one["label"] for one in sorted(found, key=lambda one: TEXTS.index(one["text"]))]
    finally:
        await consumer.stop()


def consume(address: str, folder: Path, name: str, **settings: object) -> tuple[int, str]:
    """Consume all that there is, as a group and into a topic of its own."""
    file = folder / "kafka.json"
    file.write_text(json.dumps(settings))
    options = ("--group", name, "--in", "texts", "--out", f"scores-{name}", "--idle-exit", "10", "--patience", "20")
    return mlapi({"bundle": str(LAB_BUNDLE)}, "consume", "--brokers", address, *options, "--kafka-file", str(file))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_by_user_and_password_over_tls(broker: KafkaBroker, security: Security, tmp_path: Path, mechanism: str) -> None:
    code, said = consume(
        broker.sasl_address,
        tmp_path,
        mechanism,
        security_protocol="SASL_SSL",
        sasl_mechanism=mechanism,
        sasl_plain_username=security.user,
        sasl_plain_password=security.password,
        ssl_cafile=str(security.authority.certificate),
    )
    assert code == 0, said
    assert security.password not in said
    assert asyncio.run(labels(broker, f"scores-{mechanism}")) == ["POSITIVE", "NEGATIVE"]


def test_by_certificate(broker: KafkaBroker, security: Security, tmp_path: Path) -> None:
    own = security.authority.sign("client")
    code, said = consume(
        broker.certificate_address,
        tmp_path,
        "certificate",
        security_protocol="SSL",
        ssl_cafile=str(security.authority.certificate),
        ssl_certfile=str(own.certificate),
        ssl_keyfile=str(own.key),
    )
    assert code == 0, said
    assert asyncio.run(labels(broker, "scores-certificate")) == ["POSITIVE", "NEGATIVE"]


@pytest.mark.parametrize("wrong", ["password", "authority", "no certificate"])
def test_who_may_not_is_told_so_and_consumes_nothing(
    broker: KafkaBroker, security: Security, tmp_path: Path, wrong: str
) -> None:
    by_password = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": security.user,
        "sasl_plain_password": "wrong" if wrong == "password" else security.password,
    }
    trusted = Authority(tmp_path, "other") if wrong == "authority" else security.authority
    given: dict[str, str] = by_password if wrong != "no certificate" else {"security_protocol": "SSL"}
    address = broker.sasl_address if wrong != "no certificate" else broker.certificate_address
    code, said = consume(address, tmp_path, "nobody", **given, ssl_cafile=str(trusted.certificate))
    assert code == 1, said
    assert f"Kafka at {address}" in said
    assert "Traceback" not in said
