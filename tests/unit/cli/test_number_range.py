"""What is no number is within no bounds: an option that got NaN would never hold, or never end."""

import pytest

from tests.command_line import mlapi

CASES = (
    ("bulk", "in.txt", "out.jsonl", "--threshold"),
    ("bulk", "in.txt", "out.jsonl", "--patience"),
    ("consume", "--brokers", "b:1", "--in", "a", "--out", "b", "--idle-exit"),
    ("wait", "redis", "--url", "redis://127.0.0.1:1", "--timeout"),
    ("bench", "--rate"),
    ("rollout", "compare", "--from", "http://a:1/x", "--to", "http://b:1/x", "--max-flip-rate"),
    ("learn", "export", "texts.jsonl", "--subject-share"),
    ("key", "new", "--name", "shop", "--cost-hit"),
)


@pytest.mark.parametrize("command", CASES, ids=" ".join)
@pytest.mark.parametrize("value", ["nan", "-NaN"])
def test_nan_is_wrong_usage(command: tuple[str, ...], value: str) -> None:
    code, said = mlapi({}, *command[:-1], f"{command[-1]}={value}")
    assert (code, "is not a number" in said, command[-1] in said) == (2, True, True), said
