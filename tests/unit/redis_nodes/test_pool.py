"""Connections of a pool: which are handed out, and which are made anew."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from mlapi.redis_nodes.pool import LeanPool
from tests.scripted_redis import HANG_UP, ScriptedRedis

MGET = b"*2\r\n$4\r\nMGET\r\n$1\r\na\r\n"
NOTHING = [None]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedRedis]:
    async with ScriptedRedis() as server:
        yield server


@pytest.fixture
async def pool(server: ScriptedRedis) -> AsyncIterator[LeanPool]:
    pool = LeanPool.from_url(server.url, protocol=2, driver_info=None)
    yield pool
    await pool.aclose()


async def ask(pool: LeanPool) -> object:
    """Send an MGET and return its reply, or its error."""
    connection = await pool.get_connection()
    try:
        await connection.send_packed_command((MGET,))
        return await connection.read_response(disable_decoding=True)
    except (RedisError, OSError) as error:
        return type(error)
    finally:
        await pool.release(connection)


async def test_a_connection_serves_again_and_again(pool: LeanPool, server: ScriptedRedis) -> None:
    assert [await ask(pool) for _ in range(3)] == [NOTHING] * 3
    assert server.connections == 1


async def test_a_connection_with_something_left_to_read_is_made_anew(pool: LeanPool, server: ScriptedRedis) -> None:
    server.instead["MGET"] = [b"*1\r\n$-1\r\n*1\r\n$1\r\nx\r\n"]
    assert await ask(pool) == NOTHING
    del server.instead["MGET"]
    assert await ask(pool) == NOTHING
    assert server.connections == 2


async def test_a_connection_that_the_server_ended_is_made_anew(pool: LeanPool, server: ScriptedRedis) -> None:
    server.instead["MGET"] = [HANG_UP]
    assert await ask(pool) != NOTHING
    del server.instead["MGET"]
    assert await ask(pool) == NOTHING
    assert server.connections == 2


async def test_a_connection_that_is_to_be_made_anew_is_closed_when_it_comes_back(
    pool: LeanPool, server: ScriptedRedis
) -> None:
    connection = await pool.get_connection()
    await pool.renew()
    await pool.release(connection)
    assert not connection.is_connected
    assert await ask(pool) == NOTHING
    assert server.connections == 2


async def test_connecting_in_vain_takes_no_place_in_the_pool() -> None:
    # Nothing listens on the port that carries tcpmux.
    pool = LeanPool.from_url("redis://127.0.0.1:1", max_connections=3, retry=Retry(NoBackoff(), 0))
    for _ in range(2 * pool.max_connections):
        with pytest.raises(RedisError, match="connecting to"):
            await pool.get_connection()
