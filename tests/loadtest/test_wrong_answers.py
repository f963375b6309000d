"""A service that answers wrongly fails the load test, whatever its status codes say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.loadtest.impostor import PRIMED, Answer, impostor, right
from tests.loadtest.k6 import GOALS_MISSED, run_load


def drifting(number: int, texts: int) -> Answer:
    score = 0.9 if number < PRIMED else 0.8
    prediction = [{"label": "POSITIVE", "score": score}, {"label": "NEGATIVE", "score": 1 - score}]
    return right(texts)._replace(predictions=[prediction] * texts)


def rolled_out(number: int, texts: int) -> Answer:
    """Another model from the second request on, which rates texts differently and says who it is."""
    answer = drifting(number, texts)
    return answer if number < PRIMED else answer._replace(headers=answer.headers | {"Model-Digest": "4567"})


def rising(number: int, texts: int) -> Answer:
    answer = right(texts)
    return answer if number < PRIMED else answer._replace(predictions=[each[::-1] for each in answer.predictions])


def one_short(number: int, texts: int) -> Answer:
    answer = right(texts)
    return answer if number < PRIMED else answer._replace(predictions=answer.predictions[1:])


def headerless(number: int, texts: int) -> Answer:
    answer = right(texts)
    return answer if number < PRIMED else answer._replace(headers={})


def refusing(number: int, texts: int) -> Answer:
    return right(texts) if number < PRIMED else Answer([], {}, 503)


SHAPE = "answers of the documented shape"
UNCOMPARED = {SHAPE, "same text, same answer"}
"""What is missed when no answer is of the documented shape, or there is none: then none is compared either."""


@pytest.mark.parametrize(
    ("answer", "scenario", "missed"),
    [
        (drifting, "smoke", {"same text, same answer"}),
        (rising, "smoke", UNCOMPARED),
        (one_short, "smoke", UNCOMPARED),
        (headerless, "smoke", {"hit rate", *UNCOMPARED}),
        (refusing, "smoke", {"failed requests", "hit rate", *UNCOMPARED}),
        (
            refusing,
            "breakpoint",
            {"known texts refused", "p99 of accepted new texts", "refusals without Retry-After", *UNCOMPARED},
        ),
    ],
)
def test_it_is_found_out(answer: Callable[[int, int], Answer], scenario: str, missed: set[str], tmp_path: Path) -> None:
    with impostor(answer) as url:
        done = run_load(tmp_path, scenario=scenario, duration="1s", rate="20", base_url=url)
    assert done.missed == missed
    assert done.exit_code == GOALS_MISSED
    unmeasured = {goal["says"] for goal in done.report["goals"] if not goal["measured"]}
    assert unmeasured <= missed
    assert all(f"{says} (not measured)" in done.output for says in unmeasured)


def test_a_rollout_is_told(tmp_path: Path) -> None:
    with impostor(rolled_out) as url:
        done = run_load(tmp_path, scenario="smoke", duration="1s", rate="20", base_url=url)
    assert done.exit_code == 0, done.output
    assert "100.00% of the answers came from another one than 0123" in done.output
