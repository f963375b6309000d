"""Writes the table of settings to `docs/settings.md`: `python -m tools.settings_page`."""

from pathlib import Path
from typing import Final

from pydantic.fields import FieldInfo

from mlapi.settings import DEFAULT_BUNDLE, PREFIX, Settings

ROOT: Final = Path(__file__).resolve().parent.parent
PATH: Final = ROOT / "docs" / "settings.md"

_INTRODUCTION: Final = """\
# Settings

Settings are environment variables, all optional. They are read once, when the process starts. \
An unknown `MLAPI_*` name or a value out of bounds stops the start, and the message names every fault. \
`python -m tools.settings_page` writes this page from `mlapi/settings.py`.

| variable | default | |
|---|---|---|
"""


def render() -> str:
    """Return the page as it is committed: one row a setting, in the order of the class."""
    return _INTRODUCTION + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{PREFIX}{name.upper()}` | {_shown(field.default)} | {field.description} |\n"


def _shown(default: object) -> str:
    if default in ("", ()):
        return "empty"
    if isinstance(default, Path):
        return f"`{default.relative_to(ROOT)}`" if default == DEFAULT_BUNDLE else f"`{default}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
