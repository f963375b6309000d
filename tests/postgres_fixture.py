"""A real PostgreSQL for the tests that need one: `postgres_server`, running at the start of each test."""

import os
from collections.abc import Iterator

import psycopg
import pytest

from tools.private_postgres import PrivatePostgres
from tools.private_redis import StartError


@pytest.fixture(scope="session")
def postgres_process() -> Iterator[PrivatePostgres]:
    """Start one server for the session; where there is none, skip on a laptop and fail in CI."""
    try:
        server = PrivatePostgres()
    except StartError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def postgres_server(postgres_process: PrivatePostgres) -> PrivatePostgres:
    """The server, whatever the test before did to it: running, and without a table."""
    postgres_process.resume()
    if not postgres_process.running:
        postgres_process.restart()
    empty(postgres_process.url)
    return postgres_process


def empty(url: str) -> None:
    """Drop all tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
