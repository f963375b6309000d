"""The page of settings is what the service reads."""

import re

from mlapi.settings import read_settings
from tools import settings_page


def test_the_page_is_current() -> None:
    committed = settings_page.PATH.read_text(encoding="utf-8")
    assert committed == settings_page.render(), "run python -m tools.settings_page"


def test_every_setting_can_be_set_to_the_default_that_the_page_shows() -> None:
    rows = re.findall(r"^\| `(MLAPI_\w+)` \| (.+?) \| .+ \|$", settings_page.render(), re.MULTILINE)
    shown = {name: "" if default == "empty" else default.strip("`") for name, default in rows}
    settings = read_settings({})
    assert set(shown) == {f"MLAPI_{name.upper()}" for name in type(settings).model_fields}
    del shown["MLAPI_BUNDLE"]  # shown from the project's folder, held as a whole path
    assert read_settings(shown) == settings
