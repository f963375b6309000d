"""The load of the cluster's tests tells a service that answers wrongly, and its own end, from one without failures."""

import signal

import pytest

from tests.cluster.arrivals import Arrivals
from tests.cluster.waiting import until
from tests.loadtest.impostor import Answer, impostor, right


def test_every_answer_that_is_no_prediction_is_a_failure() -> None:
    right_one = right(1)
    wrong = [
        right_one._replace(predictions=[]),
        right_one._replace(predictions=[[]]),
        right_one._replace(predictions=[None]),
        Answer([], {}, 503),
    ]

    def answer(number: int, texts: int) -> Answer:
        assert texts == 1
        return wrong[number] if number < len(wrong) else right_one

    with impostor(answer) as url, Arrivals(f"{url}/predict", rate=20) as arrivals:
        until(lambda: len(arrivals.answers) > 2 * len(wrong), "answers of both kinds", 30)
    assert len(arrivals.failures) == len(wrong)


def send_until_killed(url: str) -> None:
    """Put load on a service, and end k6 as a machine without memory does."""
    with Arrivals(f"{url}/predict", rate=20) as arrivals:
        assert arrivals._process is not None
        arrivals._process.send_signal(signal.SIGKILL)
        arrivals._process.wait(30)


def test_a_load_that_ended_by_itself_is_no_proof() -> None:
    with impostor(lambda _, texts: right(texts)) as url, pytest.raises(AssertionError, match="k6 ended with"):
        send_until_killed(url)
