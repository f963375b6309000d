"""A search for hostile requests that did not work is not one that found nothing."""

import sys

import pytest

from soak import fuzz


def test_what_cannot_be_minimised_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "search", lambda *_: 0)
    monkeypatch.setattr(fuzz, "merge", lambda *_: 77)
    monkeypatch.setattr("soak.record.record", lambda *_: [])
    with pytest.raises(SystemExit, match="exit code 77: nothing was added"):
        fuzz.grow("http", 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: not among "),
        (["--seconds", "0"], "--seconds takes a number above 0"),
    ],
)
def test_wrong_usage_starts_no_search(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    asked: list[str] = []

    def grow(target: str, _: int) -> int:
        asked.append(target)
        return 0

    monkeypatch.setattr(fuzz, "grow", grow)
    monkeypatch.setattr(sys, "argv", ["fuzz", *arguments])
    with pytest.raises(SystemExit) as ended:
        fuzz.main()
    assert (ended.value.code, asked, said in capsys.readouterr().err) == (2, [], True)
