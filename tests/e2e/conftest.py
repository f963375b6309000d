"""What the tests of the real process share: a Redis that starts each module empty, and running."""

import pytest
from redis import Redis

from tools.private_redis import PrivateRedis


@pytest.fixture(scope="module")
def redis(redis_process: PrivateRedis) -> PrivateRedis:
    redis_process.resume()
    if not redis_process.running:
        redis_process.restart()
    with Redis.from_url(redis_process.url) as client:
        client.flushall()
    return redis_process
