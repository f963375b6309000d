"""Reads the licence of weights as SPDX identifiers."""

from typing import Final

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

UNKNOWN_LICENCE: Final = "unknown"


def spdx(licence: str) -> str | None:
    """Return an SPDX expression as SPDX spells it, however it is capitalised; None if it is none, nor "unknown"."""
    if licence == UNKNOWN_LICENCE:
        return licence
    try:
        return canonicalize_license_expression(licence)
    except InvalidLicenseExpression:
        return None
