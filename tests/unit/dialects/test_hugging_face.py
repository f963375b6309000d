"""The Hugging Face Inference API's requests are read, answered and refused as its clients expect."""

import codecs
import json
from typing import Any

import pytest

from mlapi.dialects.base import AnsweringModel, TextLimits
from mlapi.dialects.hugging_face import HuggingFaceCall, HuggingFaceDialect
from mlapi.dialects.ranked import RankedLabels
from mlapi.errors import BatchTooLargeError, InvalidRequestError, MalformedJsonError, OverloadedError, Violation
from mlapi.postprocessing import Postprocessor
from mlapi.predictions import Answer, Source, SourceCounts

LIMITS = TextLimits(texts=3, chars=10)
POSTPROCESSOR = Postprocessor(["NEGATIVE", "POSITIVE"], "softmax")
MODEL = AnsweringModel("m", "d" * 32, RankedLabels(POSTPROCESSOR))
LOGITS = (-1.0, 0.5)


def read(body: object, query: bytes = b"") -> HuggingFaceCall:
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    call = HuggingFaceDialect().reader(query)(encoded, LIMITS)
    assert isinstance(call, HuggingFaceCall)
    return call


def answered(call: HuggingFaceCall) -> Any:  # noqa: ANN401  whatever the JSON holds
    prediction = POSTPROCESSOR.prediction(LOGITS, tokens=4, truncated=False)
    count = len(call.texts)
    answer = Answer([prediction] * count, [Source.L1] * count, [b""] * count, SourceCounts(l1=count))
    return json.loads(call.write(answer, MODEL))


@pytest.mark.parametrize(
    ("inputs", "texts", "pointer"),
    [("a", ["a"], "/inputs"), (["a"], ["a"], "/inputs/0"), (["a", "b"], ["a", "b"], "/inputs/0")],
)
def test_the_answer_is_nested_even_for_one_text(inputs: object, texts: list[str], pointer: str) -> None:
    call = read({"inputs": inputs})
    assert (call.texts, call.pointer(0)) == (texts, pointer)
    negative, positive = POSTPROCESSOR.scores(LOGITS)
    one = [{"label": "POSITIVE", "score": positive}, {"label": "NEGATIVE", "score": negative}]
    assert answered(call) == [one] * len(texts)


@pytest.mark.parametrize(
    "parameters", [None, {}, {"top_k": None, "function_to_apply": None}, {"function_to_apply": "softmax"}]
)
def test_without_parameters_it_is_the_models_own_answer(parameters: object) -> None:
    assert answered(read({"inputs": "a", "parameters": parameters})) == answered(read({"inputs": "a"}))


def test_the_best_labels_alone_can_be_asked_for() -> None:
    (one,) = answered(read({"inputs": "a", "parameters": {"top_k": 1}}))
    assert [item["label"] for item in one] == ["POSITIVE"]


@pytest.mark.parametrize(
    ("function", "positive"),
    [("none", 0.5), ("sigmoid", pytest.approx(0.62246, abs=1e-5)), ("softmax", pytest.approx(0.81757, abs=1e-5))],
)
def test_another_function_is_applied_to_the_logits(function: str, positive: float) -> None:
    (one,) = answered(read({"inputs": "a", "parameters": {"function_to_apply": function}}))
    assert one[0] == {"label": "POSITIVE", "score": positive}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"inputs": 1}, "/inputs"),
        ({"inputs": ["a", 1]}, "/inputs/1"),
        ({"inputs": {"text": "a", "text_pair": "b"}}, "/inputs"),
        ({"inputs": []}, "/inputs"),
        ({"inputs": ["a", "b" * 11]}, "/inputs/1"),
        ({"inputs": "b" * 11}, "/inputs"),
        ({"inputs": "a", "options": {"wait_for_model": True}}, ""),
        ({"inputs": "a", "parameters": {"temperature": 1}}, "/parameters"),
        ({"inputs": "a", "parameters": {"top_k": 0}}, "/parameters/top_k"),
        ({"inputs": "a", "parameters": {"function_to_apply": "tanh"}}, "/parameters/function_to_apply"),
        ({"parameters": {}}, ""),
        ([], ""),
    ],
)
def test_what_cannot_be_served_is_refused_and_pointed_at(body: object, pointer: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read(body)
    assert [item.pointer for item in refused.value.violations] == [pointer]


def test_parameters_in_the_query_are_not_dropped() -> None:
    with pytest.raises(InvalidRequestError, match="in the body"):
        read({"inputs": "a"}, b"top_k=1")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"inputs": "a"} x'])
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(MalformedJsonError):
        read(body)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert read(codecs.BOM_UTF8 + b'{"inputs": "a"}').texts == ["a"]


def test_another_encoding_is_named() -> None:
    with pytest.raises(MalformedJsonError, match="UTF-16"):
        read('{"inputs": "a"}'.encode("utf-16"))


def test_more_texts_than_a_request_may_hold_are_refused() -> None:
    with pytest.raises(BatchTooLargeError, match="may hold 3"):
        read({"inputs": ["a"] * 4})


def test_errors_are_written_as_its_clients_read_them() -> None:
    status, media_type, body = HuggingFaceDialect().refuse(OverloadedError("too much", retry_after_s=2), "the-id")
    assert (status, media_type) == (503, "application/json")
    assert json.loads(body) == {"error": "too much", "error_type": "overloaded", "request_id": "the-id"}
    wrong = InvalidRequestError("no", violations=[Violation("/inputs/1", "is empty")])
    assert json.loads(HuggingFaceDialect().refuse(wrong, "x").body)["error"] == "no; /inputs/1: is empty"
