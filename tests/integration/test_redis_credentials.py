"""What lets us into a real Redis: a user, a password from a file, certificates of both sides; each is rotated."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from mlapi.cache.l2 import RedisStore
from mlapi.errors import ConfigurationError
from mlapi.observability.metrics import Metrics
from mlapi.redis_nodes.address import RedisFiles
from tests.certificates import Authority
from tests.programs import miss
from tests.service_process import HOST, run_mlapi
from tests.stores import fetch, prediction, redis_nodes, redis_store, texts, value
from tools.private_redis import PrivateRedis, free_port

A, B = texts(2)
FOUND = prediction()
TLS_SERVER = Path(__file__).parents[2] / ".tools/redis/redis-server"
STALE = "mlapi_redis_files_stale"


@pytest.fixture
def inspector(redis_server: PrivateRedis) -> Iterator[Redis]:
    """Another client of the server, which a test may lock to others."""
    with Redis.from_url(redis_server.url) as client:
        client.acl_setuser("shop", reset=True, enabled=True, passwords=["+first"], keys=["mlapi:*"], commands=["+@all"])
        yield client
        client.acl_deluser("shop")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


async def works(store: RedisStore) -> None:
    """Store and look up until both work."""
    async with asyncio.timeout(10):
        while True:
            await store.put_many({A: FOUND})
            await store.flush()
            if await fetch(store, [A]) == [FOUND] and store.server.state == "ok":
                return
            await asyncio.sleep(0.01)


async def fails(store: RedisStore, reason: str) -> None:
    """Look up until that is given up for this reason."""
    async with asyncio.timeout(10):
        while reason not in str(store.server.reason):
            assert await fetch(store, [A]) == [None]


async def test_a_new_password_in_the_file_needs_no_restart(
    redis_server: PrivateRedis, inspector: Redis, metrics: Metrics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    url = redis_server.url.replace("redis://", "redis://shop@")
    store = redis_store(url, metrics, files=RedisFiles(password=file))
    await works(store)

    inspector.acl_setuser("shop", enabled=True, passwords=["-first", "+second"])
    # A connection that is open stays let in, whatever becomes of the password.
    assert await fetch(store, [A]) == [FOUND]
    inspector.client_kill_filter(_type="normal", skipme=True)
    await fails(store, "look-ups: refused (WRONGPASS)")
    file.write_text("second")
    await works(store)

    inspector.client_kill_filter(_type="normal", skipme=True)
    file.unlink()
    await works(store)
    assert value(metrics, STALE) == 1
    file.write_text("")
    inspector.client_kill_filter(_type="normal", skipme=True)
    await works(store)
    assert value(metrics, STALE) == 1
    file.write_text("second\r\n")
    inspector.client_kill_filter(_type="normal", skipme=True)
    await works(store)
    assert value(metrics, STALE) == 0
    await store.close()
    assert "first" not in caplog.text
    assert "second" not in caplog.text


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe", b"x" * 20_000])
def test_a_password_file_that_holds_none_stops_the_start(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="password: "):
        redis_nodes("redis://localhost", Metrics(), timeout_s=0.02, files=RedisFiles(password=file))


def test_waiting_uses_the_password_file(redis_server: PrivateRedis, inspector: Redis, tmp_path: Path) -> None:
    file = tmp_path / "password"
    settings = {
        "MLAPI_REDIS_URL": redis_server.url.replace("redis://", "redis://shop@"),
        "MLAPI_REDIS_PASSWORD_FILE": str(file),
    }
    done = run_mlapi("wait", "redis", "--optional", settings=settings)
    assert (done.returncode, done.stderr) == (2, f"mlapi: {file}: No such file or directory\n")
    file.write_text("first")
    assert run_mlapi("wait", "redis", settings=settings).returncode == 0
    file.write_text("other-8d1f")
    done = run_mlapi("wait", "redis", settings=settings)
    assert done.returncode == 1
    assert "it refuses PING (WRONGPASS" in done.stderr
    assert "other-8d1f" not in done.stderr
    assert inspector.ping()


@dataclass(frozen=True)
class TlsRedis:
    """A server that asks for certificates; its plain port is for the test alone."""

    server: PrivateRedis
    client: Any
    authority: Authority
    files: RedisFiles
    url: str


@pytest.fixture
def tls_redis(tmp_path: Path) -> Iterator[TlsRedis]:
    if not os.access(TLS_SERVER, os.X_OK):
        miss("tools/redis_tls.sh")
    authority = Authority(tmp_path, "authority")
    served, ours = authority.sign("server"), authority.sign("client")
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(served.certificate), "--tls-key-file", str(served.key)]
    options += ["--tls-ca-cert-file", str(authority.certificate), "--tls-auth-clients", "yes"]
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    names = {"ca.crt": authority.certificate, "tls.crt": ours.certificate, "tls.key": ours.key}
    for name, source in names.items():
        shutil.copy(source, mounted / name)
    files = RedisFiles(authority=mounted / "ca.crt", certificate=mounted / "tls.crt", key=mounted / "tls.key")
    with PrivateRedis(options, TLS_SERVER) as server, Redis.from_url(server.url) as client:
        yield TlsRedis(server, client, authority, files, f"rediss://{HOST}:{port}/0")


@pytest.fixture
async def encrypted(tls_redis: TlsRedis, metrics: Metrics) -> AsyncIterator[RedisStore]:
    store = redis_store(tls_redis.url, metrics, files=tls_redis.files)
    yield store
    await store.close()


async def test_both_sides_prove_who_they_are(tls_redis: TlsRedis, encrypted: RedisStore) -> None:
    await works(encrypted)
    assert tls_redis.client.dbsize() == 1


async def test_a_server_whose_certificate_another_authority_signed_is_not_asked(
    tls_redis: TlsRedis, metrics: Metrics, tmp_path: Path
) -> None:
    another = Authority(tmp_path, "another").certificate
    store = redis_store(
        tls_redis.url,
        metrics,
        files=RedisFiles(authority=another, certificate=tls_redis.files.certificate, key=tls_redis.files.key),
    )
    await fails(store, "look-ups: no connection")
    await store.close()


async def test_new_certificates_need_no_restart(
    tls_redis: TlsRedis, encrypted: RedisStore, metrics: Metrics, tmp_path: Path
) -> None:
    await works(encrypted)
    files = tls_redis.files
    assert files.certificate is not None
    assert files.key is not None
    new = Authority(tmp_path, "new")
    ours = new.sign("client")
    # The server trusts another authority from now on. Connections that are open stay.
    tls_redis.client.config_set("tls-ca-cert-file", str(new.certificate))
    assert await fetch(encrypted, [A]) == [FOUND]
    tls_redis.client.client_kill_filter(_type="normal", skipme=True)
    await fails(encrypted, "look-ups: no connection")
    # Half of a rotation: a key that is not the certificate's. What was there before holds, and it shows.
    shutil.copy(ours.certificate, files.certificate)
    async with asyncio.timeout(10):
        while value(metrics, STALE) != 1:
            assert await fetch(encrypted, [A]) == [None]
    shutil.copy(ours.key, files.key)
    await works(encrypted)
    assert value(metrics, STALE) == 0


def test_files_that_are_no_certificates_stop_the_start(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    for files in (RedisFiles(authority=file), RedisFiles(certificate=file)):
        for content in (None, "", "no certificate"):
            if content is not None:
                file.write_text(content)
            with pytest.raises(ConfigurationError, match=r"ca\.crt: "):
                redis_nodes("rediss://localhost", Metrics(), timeout_s=0.02, files=files)
        file.unlink()
