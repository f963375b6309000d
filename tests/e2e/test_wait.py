"""`mlapi wait redis` as an init container runs it: waits for a bounded time, and tells by its exit code."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from tests.service_process import HOST, mlapi_environment, run_mlapi
from tools.private_redis import PrivateRedis

PASSWORD = "secret-9d2e"  # noqa: S105  a test's own


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URL of a port that nobody listens on."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield f"redis://:{PASSWORD}@{HOST}:{bound.getsockname()[1]}/0"


def test_a_redis_that_answers_is_exit_code_0(redis: PrivateRedis) -> None:
    for done in (
        run_mlapi("wait", "redis", settings={"MLAPI_REDIS_URL": redis.url}),
        run_mlapi("wait", "redis", "--url", redis.url, settings={"MLAPI_REDIS_URL": "redis://nowhere.invalid"}),
    ):
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == f"mlapi: Redis at {HOST}:{redis.port} answers\n"


def test_a_redis_may_be_named_by_an_ipv6_address(redis: PrivateRedis) -> None:
    done = run_mlapi("wait", "redis", "--timeout", "0", "--url", f"redis://[::1]:{redis.port}/0")
    assert (done.returncode, done.stderr) == (0, f"mlapi: Redis at [::1]:{redis.port} answers\n")


def test_no_redis_configured_is_nothing_to_wait_for() -> None:
    for settings in ({}, {"MLAPI_REDIS_URL": ""}):
        done = run_mlapi("wait", "redis", settings=settings)
        assert done.returncode == 0
        assert "nothing to wait for" in done.stderr


@pytest.mark.parametrize(("options", "code"), [((), 1), (("--optional",), 0)], ids=["required", "optional"])
def test_a_redis_that_never_answers_is_waited_for_no_longer_than_told(
    nobody: str, options: tuple[str, ...], code: int
) -> None:
    began = time.monotonic()
    done = run_mlapi("wait", "redis", "--timeout", "1", *options, settings={"MLAPI_REDIS_URL": nobody})
    assert done.returncode == code
    assert 0.5 <= time.monotonic() - began < 8
    assert "it does not answer" in done.stderr
    assert ("giving up" if code else "going on without Redis") in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_a_name_that_does_not_resolve_is_said_to(nobody: str) -> None:
    url = nobody.replace(HOST, "redis.nowhere.invalid")
    done = run_mlapi("wait", "redis", "--timeout", "0", "--url", url)
    assert done.returncode == 1
    assert "its name does not resolve" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_a_frozen_redis_does_not_hold_it_up(redis: PrivateRedis) -> None:
    redis.pause()
    try:
        began = time.monotonic()
        done = run_mlapi("wait", "redis", "--timeout", "1", "--url", redis.url)
        assert done.returncode == 1
        assert time.monotonic() - began < 8
    finally:
        redis.resume()


@contextmanager
def waiting(redis: PrivateRedis, first: str) -> Iterator[None]:
    """Have it wait, and yield once it has said this; it must find Redis soon after the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mlapi", "wait", "redis", "--timeout", "30"],
        env=mlapi_environment({"MLAPI_REDIS_URL": redis.url}),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process, process.stderr as said:
        assert first in said.readline()
        yield
        assert "answers" in said.readline()
        assert process.wait(30) == 0


def test_a_redis_that_comes_while_it_waits_is_found(redis: PrivateRedis) -> None:
    redis.kill()
    with waiting(redis, "waiting for Redis"):
        redis.restart()


def test_a_redis_that_refuses_the_password_is_not_waited_for(redis: PrivateRedis) -> None:
    with Redis.from_url(redis.url) as client:
        client.config_set("requirepass", "another")
    try:
        url = redis.url.replace("redis://", f"redis://:{PASSWORD}@")
        began = time.monotonic()
        done = run_mlapi("wait", "redis", "--timeout", "60", "--url", url)
        assert done.returncode == 1
        assert time.monotonic() - began < 20
        assert "it refuses" in done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        right = redis.url.replace("redis://", "redis://:another@")
        assert run_mlapi("wait", "redis", "--url", right).returncode == 0
    finally:
        with Redis.from_url(redis.url, password="another") as client:  # noqa: S106
            client.config_set("requirepass", "")


def test_the_least_rights_that_the_service_needs_are_enough(redis: PrivateRedis) -> None:
    with Redis.from_url(redis.url) as client:
        client.acl_setuser(
            "least", reset=True, enabled=True, passwords=[f"+{PASSWORD}"], keys=["mlapi:*"], commands=["+mget", "+set"]
        )
    url = redis.url.replace("redis://", f"redis://least:{PASSWORD}@")
    done = run_mlapi("wait", "redis", "--timeout", "0", "--url", url)
    assert (done.returncode, done.stderr) == (0, f"mlapi: Redis at {HOST}:{redis.port} answers\n")


def test_a_redis_that_answers_ping_and_refuses_the_rest_is_not_waited_for(redis: PrivateRedis) -> None:
    with Redis.from_url(redis.url) as client:
        client.acl_setuser("default", enabled=True, nopass=True, commands=["-set"])
        try:
            began = time.monotonic()
            done = run_mlapi("wait", "redis", "--timeout", "60", "--url", redis.url)
            assert time.monotonic() - began < 20
            assert done.returncode == 1
            assert "it refuses stores (NOPERM: " in done.stderr
        finally:
            client.acl_setuser("default", enabled=True, nopass=True, commands=["+@all"])


def test_a_replica_is_waited_for_until_it_is_promoted(redis: PrivateRedis) -> None:
    with Redis.from_url(redis.url) as client:
        client.replicaof(HOST, "1")
        try:
            with waiting(redis, "it refuses stores (READONLY: "):
                client.replicaof("NO", "ONE")
        finally:
            client.replicaof("NO", "ONE")


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{PASSWORD}@localhost",
        f"redis://:{PASSWORD}@localhost:port",
        f"redis://:{PASSWORD}@localhost?db=x",
        f"redis://:{PASSWORD}#@localhost",
        f"redis://:{PASSWORD}/@localhost",
    ],
    ids=["another scheme", "no port", "no database", "a number sign in the password", "a slash in the password"],
)
def test_what_is_no_redis_url_is_exit_code_2_and_not_repeated(url: str) -> None:
    done = run_mlapi("wait", "redis", "--url", url, "--timeout", "0")
    assert done.returncode == 2
    assert done.stderr.startswith("mlapi: the Redis URL is not usable: ")
    assert "Traceback" not in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
