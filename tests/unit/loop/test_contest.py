"""How many texts a frozen set needs."""

import pytest

from mlapi.loop.contest import too_few


@pytest.mark.parametrize(
    ("margin", "least"), [(0.02, 149), (0.05, 59), (0.01, 299), (0.001, 299), (0.0, 299), (1.0, 1)]
)
def test_a_set_has_to_be_large_enough_to_show_a_loss_of_the_margin(margin: float, least: int) -> None:
    (said,) = too_few({"dev": {"accuracy": {"of": least - 1}}}, margin)
    assert said == f"dev has {least - 1} texts; {least} are required to show a loss of more than {margin:.4f}"
    assert not list(too_few({"dev": {"accuracy": {"of": least}}}, margin))


def test_a_set_without_a_size_is_too_small() -> None:
    assert [said.partition(";")[0] for said in too_few({"dev": {}}, 0.02)] == ["dev has 0 texts"]
