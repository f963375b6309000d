"""Without k6 none of these tests can run: they say so before they start anything."""

import pytest

from tests.programs import find_program


@pytest.fixture(scope="session", autouse=True)
def k6() -> str:
    return find_program("k6")
