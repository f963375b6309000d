"""Writes the service's OpenAPI document to `docs/openapi.json`: `python -m tools.openapi`."""

import json
from pathlib import Path
from typing import Final

from mlapi.app import create_app
from mlapi.settings import read_settings

PATH: Final = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def render() -> str:
    """Return the document of a service with default settings, as it is committed."""
    return json.dumps(create_app(read_settings({}), {}).openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
