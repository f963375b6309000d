"""Entries belong to one model and one text: nothing else in Redis, by accident or design, ever becomes an answer."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from mlapi.bundles.manifest import MANIFEST_NAME
from mlapi.settings import DEFAULT_BUNDLE
from tests.service_process import ServiceProcess, eventually
from tools.private_redis import PrivateRedis

CORRUPT = 'mlapi_cache_operations_total{operation="get",result="corrupt",tier="l2"}'


@pytest.fixture(scope="module")
def service(redis: PrivateRedis) -> Iterator[ServiceProcess]:
    with ServiceProcess(redis_url=redis.url, engine="fake", l1_bytes="0", redis_timeout_ms="1000") as process:
        yield process


@pytest.fixture(scope="module")
def client(redis: PrivateRedis) -> Iterator["Redis"]:
    with Redis.from_url(redis.url) as connection:
        yield connection


def keys(client: "Redis") -> set[bytes]:
    return {key for key in client.keys("*") if isinstance(key, bytes)}


def record(client: "Redis", key: bytes) -> bytes:
    value = client.get(key)
    assert isinstance(value, bytes)
    return value


def relabelled(bundle: Path, folder: Path) -> Path:
    """Copy a bundle, its labels swapped."""
    shutil.copytree(bundle, folder, copy_function=os.link)
    manifest = json.loads((bundle / MANIFEST_NAME).read_bytes())
    manifest["labels"].reverse()
    (folder / MANIFEST_NAME).unlink()
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_another_bundle_never_sees_the_entries(
    service: ServiceProcess, redis: PrivateRedis, client: "Redis", tmp_path: Path
) -> None:
    text = "shared by two models"
    ours = service.predict(text)
    (our_key,) = eventually(lambda: keys(client), "an entry of ours")
    bundle = relabelled(DEFAULT_BUNDLE, tmp_path / "relabelled")
    with ServiceProcess(redis_url=redis.url, bundle=str(bundle), engine="fake", redis_timeout_ms="1000") as other:
        theirs = other.predict(text)
        assert theirs.headers["cache-status"] == 'mlapi; fwd=miss; stored; detail="l1=0 l2=0 collapsed=0 model=1"'
        assert theirs.headers["model-digest"] != ours.headers["model-digest"]
        assert theirs.content != ours.content
        (their_key,) = eventually(lambda: keys(client) - {our_key}, "an entry of theirs")
    again = service.predict(text)
    assert again.headers["cache-status"] == 'mlapi; hit; detail="l1=0 l2=1 collapsed=0 model=0"'
    assert again.content == ours.content
    # Even in the place of ours, where only a copying hand can have put it, their entry is not taken for one of ours.
    client.set(our_key, record(client, their_key))
    with service.counting() as rises:
        again = service.predict(text)
    assert again.headers["cache-status"].startswith("mlapi; fwd=miss;")
    assert again.content == ours.content
    assert rises[CORRUPT] == 1


def test_another_engine_never_sees_the_entries(service: ServiceProcess, redis: PrivateRedis) -> None:
    texts = ["shared by two engines, the first", "shared by two engines, the second"]
    ours = service.predict(texts)
    eventually(lambda: service.predict(texts).headers["cache-status"].startswith("mlapi; hit;"), "entries of ours")
    with ServiceProcess(redis_url=redis.url, redis_timeout_ms="1000") as other:
        theirs = other.predict(texts)
        assert theirs.headers["cache-status"] == 'mlapi; fwd=miss; stored; detail="l1=0 l2=0 collapsed=0 model=2"'
        assert theirs.headers["model-digest"] != ours.headers["model-digest"]
        assert theirs.content != ours.content


def flip_a_bit(record: bytes, _: bytes) -> bytes:
    """Change a score in its last digits: a wrong answer that looks right."""
    at = len(record) - 8 - 4
    return record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda record, _: record[:-1], id="cut by a byte"),
        pytest.param(lambda record, _: record[:4], id="cut to its header"),
        pytest.param(lambda _, __: b"", id="empty"),
        pytest.param(lambda record, _: record + b"\0", id="a byte too long"),
        pytest.param(lambda record, _: b"\xff" + record[1:], id="of another version"),
        pytest.param(flip_a_bit, id="a flipped bit in a score"),
        pytest.param(lambda _, other: other, id="a sound record of another text"),
        pytest.param(lambda _, __: b'{"label":"POSITIVE","score":1.0}', id="somebody else's JSON"),
        pytest.param(lambda _, __: b"\0" * 1_000_000, id="a megabyte of zeros"),
    ],
)
def test_a_damaged_record_is_a_counted_miss_and_is_mended(
    service: ServiceProcess, client: "Redis", damage: Callable[[bytes, bytes], bytes]
) -> None:
    client.flushall()
    text = "whose record is damaged"
    answer = service.predict(text).content
    (key,) = eventually(lambda: keys(client), "the record")
    sound = record(client, key)
    service.predict("whose record takes its place")
    (other,) = eventually(lambda: keys(client) - {key}, "the other record")
    client.set(key, damage(sound, record(client, other)))
    with service.counting() as rises:
        response = service.predict(text)
    assert response.headers["cache-status"].startswith("mlapi; fwd=miss;")
    assert response.content == answer
    assert rises[CORRUPT] == 1
    eventually(lambda: record(client, key) == sound, "the record, mended")
    assert service.predict(text).headers["cache-status"].startswith("mlapi; hit;")


def test_a_record_of_another_type_is_a_miss(service: ServiceProcess, client: "Redis") -> None:
    client.flushall()
    text = "whose record is a list"
    answer = service.predict(text).content
    (key,) = eventually(lambda: keys(client), "the record")
    client.delete(key)
    client.lpush(key, "not", "a", "record")
    response = service.predict(text)
    assert response.headers["cache-status"].startswith("mlapi; fwd=miss;")
    assert response.content == answer


def test_redis_holds_digests_and_no_texts(service: ServiceProcess, client: "Redis") -> None:
    client.flushall()
    text = "a secret 4711 nobody may read in redis"
    digest = service.predict(text).headers["model-digest"]
    (key,) = eventually(lambda: keys(client), "the record")
    assert key.startswith(f"mlapi:3:{digest}:".encode())
    assert len(key) == len(f"mlapi:3:{digest}:") + 32
    dump = key + record(client, key)
    assert not any(word.encode() in dump for word in text.split() if len(word) > 1)
    assert "4711" not in service.log
    # The TTL of a day, give or take a tenth.
    assert 0.9 * 86_400 <= client.ttl(key) <= 1.1 * 86_400
