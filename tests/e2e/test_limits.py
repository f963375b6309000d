"""Too much, too fast, too late, or nobody there any more: honest refusals, and hits are served all the while."""

import json
from collections.abc import Iterator

import pytest

from mlapi.batching.drain_rate import TRUST_S
from tests.e2e.problem_documents import assert_problem
from tests.e2e.raw_http import RawConnection, post
from tests.service_process import ServiceProcess, eventually

KNOWN = "a text that is known"


def long_texts(count: int, stem: str) -> list[str]:
    """Return texts that keep the model busy: about 450 tokens each."""
    return [f"{stem} number {number} " + "goes on and on " * 110 for number in range(count)]


def long_request(count: int, stem: str) -> bytes:
    return post(json.dumps({"text": long_texts(count, stem)}).encode())


@pytest.fixture(scope="module")
def narrow() -> Iterator[ServiceProcess]:
    """The real model on one thread, with a queue of a few thousand tokens."""
    with ServiceProcess(threads="1", max_waiting_tokens="16384", max_batch_tokens="512", deadline_s="30") as process:
        assert process.predict(KNOWN).status_code == 200
        yield process
        assert process.complaints == []


def assert_hits_are_served(service: ServiceProcess) -> None:
    response = service.predict(KNOWN)
    assert response.status_code == 200
    assert response.headers["cache-status"].startswith("mlapi; hit;")


def idle(service: ServiceProcess) -> bool:
    samples = service.samples()
    return samples["mlapi_queue_tokens"] == 0


def test_a_full_queue_refuses_with_retry_after_and_hits_are_served(narrow: ServiceProcess) -> None:
    with RawConnection(narrow) as connection, narrow.counting() as rises:
        connection.send(long_request(30, "fills the queue"))
        eventually(lambda: narrow.metric("mlapi_queue_tokens") > 8_000, "a full queue")
        response = narrow.predict(long_texts(30, "comes too late"))
        assert_problem(response, 503, response.status_code, "overloaded", [])
        assert 1 <= int(response.headers["retry-after"]) <= 60
        assert_hits_are_served(narrow)
        assert connection.read().status == 200
        assert narrow.predict(long_texts(30, "comes too late")[0]).status_code == 200
    assert rises['mlapi_shed_total{reason="queue_full"}'] == 1


def test_a_request_that_never_fits_is_413(narrow: ServiceProcess) -> None:
    with narrow.counting() as rises:
        response = narrow.predict(long_texts(40, "is too many"))
    assert_problem(response, 413, response.status_code, "batch_too_large", [])
    assert rises['mlapi_shed_total{reason="batch_too_large"}'] == 1
    assert "mlapi_batch_texts_count" not in rises


def test_work_whose_caller_has_gone_is_dropped(narrow: ServiceProcess) -> None:
    eventually(lambda: idle(narrow), "an idle queue", 30)
    gone = 'mlapi_http_requests_total{method="POST",route="/project/predict",status="499"}'
    with narrow.counting() as rises:
        with RawConnection(narrow) as connection:
            connection.send(long_request(30, "nobody waits for this"))
            eventually(lambda: narrow.metric("mlapi_queue_tokens") > 8_000, "a full queue")
        eventually(lambda: idle(narrow), "an empty queue", 1)
        assert_hits_are_served(narrow)
    assert rises[gone] == 1
    assert rises["mlapi_batch_texts_sum"] < 25
    assert 'mlapi_texts_total{source="model"}' not in rises


def test_one_caller_that_leaves_takes_nothing_from_another(narrow: ServiceProcess) -> None:
    eventually(lambda: idle(narrow), "an idle queue", 30)
    texts = 16

    def asked() -> float:
        return narrow.metric("mlapi_cache_operations_total", tier="l1", operation="get", result="miss")

    before = asked()
    with narrow.counting() as rises, RawConnection(narrow) as stays:
        with RawConnection(narrow) as leaves:
            leaves.send(long_request(texts, "wanted by both"))
            eventually(lambda: asked() == before + texts, "the first caller")
            stays.send(long_request(texts, "wanted by both"))
            eventually(lambda: asked() == before + 2 * texts, "the second caller")
        assert stays.read().status == 200
    assert rises["mlapi_batch_texts_sum"] == texts
    assert rises['mlapi_texts_total{source="collapsed"}'] == texts


def test_a_deadline_that_cannot_be_kept_is_refused_as_soon_as_that_is_known() -> None:
    with ServiceProcess(threads="1", max_batch_tokens="512", deadline_s="3") as service:
        assert service.predict(KNOWN).status_code == 200
        with service.counting() as rises:
            # How fast the model is under load has not been measured yet: an idle server begins, and gives up soon.
            late = service.predict(long_texts(500, "cannot be done in time"))
            assert_hits_are_served(service)
        assert_problem(late, 503, late.status_code, "overloaded", [])
        assert late.elapsed.total_seconds() < 3.0
        assert 'mlapi_texts_total{source="model"}' not in rises
        with service.counting() as rises:
            refused = service.predict(long_texts(300, "cannot be done in time either"))
            assert_hits_are_served(service)
        assert_problem(refused, 503, refused.status_code, "overloaded", [])
        assert 1 <= int(refused.headers["retry-after"]) <= TRUST_S
        assert rises['mlapi_shed_total{reason="deadline"}'] == 1
        assert "mlapi_batch_texts_count" not in rises
        eventually(lambda: service.predict("served after that").is_success, "answers again")
        assert service.complaints == []


@pytest.fixture(scope="module")
def fair() -> Iterator[ServiceProcess]:
    with ServiceProcess(engine="fake", client_texts_per_s="10", client_header="X-Client") as process:
        yield process


def test_a_client_that_is_too_fast_is_429_and_others_are_not(fair: ServiceProcess) -> None:
    texts = [f"one of ten, number {number}" for number in range(10)]
    assert fair.predict(texts, headers={"x-client": "fast"}).status_code == 200
    with fair.counting() as rises:
        response = fair.predict(texts, headers={"x-client": "fast"})
    assert_problem(response, 429, response.status_code, "rate_limited", [])
    assert int(response.headers["retry-after"]) == 1
    assert rises['mlapi_shed_total{reason="rate_limited"}'] == 1
    assert fair.predict(texts, headers={"x-client": "another"}).status_code == 200
    # Without the header it is the address that counts.
    assert fair.predict(texts).status_code == 200
    assert fair.predict(texts).status_code == 429
    eventually(lambda: fair.predict(texts, headers={"x-client": "fast"}).is_success, "the client's share, renewed", 5)


def test_bad_requests_cost_a_client_nothing(fair: ServiceProcess) -> None:
    for _ in range(20):
        assert fair.predict([], headers={"x-client": "clumsy"}).status_code == 422
    assert fair.predict("well formed at last", headers={"x-client": "clumsy"}).status_code == 200
