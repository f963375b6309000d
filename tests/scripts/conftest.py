"""A workshop for each test."""

from pathlib import Path

import pytest

from tests.scripts.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A clean copy of the project, a cluster that is empty, and an ECR repository without images."""
    return Workshop(tmp_path)
