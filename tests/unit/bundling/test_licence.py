"""Licences are written as SPDX writes them, and nothing else is taken for one."""

import pytest

from mlapi.bundling.licence import spdx


@pytest.mark.parametrize(
    ("licence", "written"),
    [
        ("Apache-2.0", "Apache-2.0"),
        ("apache-2.0", "Apache-2.0"),
        ("mit or apache-2.0", "MIT OR Apache-2.0"),
        ("LicenseRef-Weights", "LicenseRef-Weights"),
        ("unknown", "unknown"),
        ("Apache", None),
        ("MIT, Apache-2.0", None),
        ("", None),
    ],
)
def test_a_licence_is_spelt_as_spdx_spells_it(licence: str, written: str | None) -> None:
    assert spdx(licence) == written
