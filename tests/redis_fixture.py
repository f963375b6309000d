"""A real Redis for the tests that need one: `redis_server`, empty and running at the start of each test."""

import os
from collections.abc import Iterator

import pytest
from redis import Redis

from tools.private_redis import PrivateRedis, StartError


@pytest.fixture(scope="session")
def redis_process() -> Iterator[PrivateRedis]:
    """Start one server for the session; where there is none, skip on a laptop and fail in CI."""
    try:
        server = PrivateRedis()
    except StartError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def redis_server(redis_process: PrivateRedis) -> PrivateRedis:
    """The server, whatever the test before did to it: running, with its first settings, empty, nothing counted yet."""
    redis_process.resume()
    if not redis_process.running:
        redis_process.restart()
    with Redis.from_url(redis_process.url) as client:
        client.config_set("maxmemory", "64mb")
        client.config_set("maxmemory-policy", "allkeys-lfu")
        client.flushall()
        client.config_resetstat()
    return redis_process
