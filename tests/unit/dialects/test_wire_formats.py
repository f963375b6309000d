"""Requests of every other server's wire format are read, answered and refused as its clients expect."""

import json
import struct
from collections.abc import Mapping
from typing import Any

import pytest

from mlapi import errors
from mlapi.dialects.base import AnsweringModel, Call, Content, Dialect, NegotiatingDialect, TextLimits
from mlapi.dialects.formats import wire_formats
from mlapi.dialects.ranked import RankedLabels
from mlapi.errors import BatchTooLargeError, InvalidRequestError, MalformedJsonError, MlapiError, Violation
from mlapi.postprocessing import Postprocessor
from mlapi.predictions import Answer, Source, SourceCounts

LIMITS = TextLimits(texts=3, chars=10)
POSTPROCESSOR = Postprocessor(["NEGATIVE", "POSITIVE"], "softmax")
MODEL = AnsweringModel("m", "0123456789abcdef" * 2, RankedLabels(POSTPROCESSOR), served_as="project")
LOGITS = (-1.0, 0.5)
NEGATIVE, POSITIVE = POSTPROCESSOR.scores(LOGITS)
BOTH = [{"label": "POSITIVE", "score": POSITIVE}, {"label": "NEGATIVE", "score": NEGATIVE}]

FORMATS = wire_formats(clock=lambda: 1764388800.7, new_id=lambda: "new")
DIALECTS: dict[str, Dialect] = {path: dialect for item in FORMATS for path, dialect in item.predictions.items()}
TEI, VLLM, KSERVE = "tei/predict", "classify", "v1/models/{model}:predict"
OIP, SAGEMAKER, FMS = "v2/models/{model}/infer", "invocations", "api/v1/text/contents"
OTHERS = (TEI, VLLM, KSERVE, OIP, SAGEMAKER, FMS)


def read(path: str, body: object, headers: Mapping[bytes, bytes] | None = None) -> Call:
    dialect = DIALECTS[path]
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    negotiated = dialect.negotiate(b"", headers or {}) if isinstance(dialect, NegotiatingDialect) else None
    return (negotiated or dialect.reader(b""))(encoded, LIMITS)


def content(path: str, body: object, headers: Mapping[bytes, bytes] | None = None) -> bytes | Content:
    call = read(path, body, headers)
    prediction = POSTPROCESSOR.prediction(LOGITS, tokens=4, truncated=False)
    count = len(call.texts)
    return call.write(Answer([prediction] * count, [Source.L1] * count, [b""] * count, SourceCounts(l1=count)), MODEL)


def answer(path: str, body: object) -> Any:  # noqa: ANN401  whatever the JSON holds
    written = content(path, body)
    assert isinstance(written, bytes)
    return json.loads(written)


def tensor(*texts: object, **more: object) -> dict[str, object]:
    return {"name": "args", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)} | more


GOOD = {
    TEI: {"inputs": "a"},
    VLLM: {"input": "a"},
    KSERVE: {"instances": ["a"]},
    OIP: {"inputs": [tensor("a")]},
    SAGEMAKER: {"inputs": "a"},
    FMS: {"contents": ["a"]},
}


@pytest.mark.parametrize(
    ("inputs", "texts", "pointer", "expected"),
    [
        ("a", ["a"], "/inputs", BOTH),
        (["a"], ["a"], "/inputs/0", BOTH),
        ([["a"]], ["a"], "/inputs/0/0", [BOTH]),
        ([["a"], ["b"]], ["a", "b"], "/inputs/0/0", [BOTH, BOTH]),
    ],
)
def test_tei_nests_the_answer_as_the_texts_are_nested(
    inputs: object, texts: list[str], pointer: str, expected: object
) -> None:
    call = read(TEI, {"inputs": inputs})
    assert (call.texts, call.pointer(0), call.truncate) == (texts, pointer, True)
    assert answer(TEI, {"inputs": inputs, "truncate": None}) == expected


def test_tei_gives_logits_and_refuses_to_cut_where_asked() -> None:
    raw = [{"label": "POSITIVE", "score": 0.5}, {"label": "NEGATIVE", "score": -1.0}]
    assert answer(TEI, {"inputs": [["a"]], "raw_scores": True}) == [raw]
    assert not read(TEI, {"inputs": "a", "truncate": False}).truncate


def test_tei_says_that_two_strings_are_a_pair() -> None:
    with pytest.raises(InvalidRequestError, match="pair of texts in this protocol"):
        read(TEI, {"inputs": ["a", "b"]})


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {"label": "POSITIVE", "probs": [NEGATIVE, POSITIVE]}),
        ({"use_activation": False}, {"label": "POSITIVE", "probs": [-1.0, 0.5]}),
        (
            {"truncate_prompt_tokens": 4, "user": "u", "priority": 0},
            {"label": "POSITIVE", "probs": [NEGATIVE, POSITIVE]},
        ),
    ],
)
def test_vllm_gives_probabilities_in_the_order_of_the_labels(more: dict[str, object], expected: object) -> None:
    assert answer(VLLM, {"input": ["a", "b"]} | more) == {
        "id": "classify-new",
        "object": "list",
        "created": 1764388800,
        "model": "project",
        "data": [{"index": index, "num_classes": 2} | dict(expected) for index in (0, 1)],  # type: ignore[call-overload]
        "usage": {"prompt_tokens": 8, "total_tokens": 8, "completion_tokens": 0, "prompt_tokens_details": None},
    }


def test_a_text_longer_than_it_was_to_be_cut_to_is_refused() -> None:
    for path, body in (
        (VLLM, {"input": "a", "truncate_prompt_tokens": 3}),
        (FMS, {"contents": ["a"], "detector_params": {"max_length": 3}}),
    ):
        with pytest.raises(InvalidRequestError, match="not cut to 3 tokens"):
            content(path, body)
    assert answer(VLLM, {"input": "a", "truncate_prompt_tokens": -1, "request_id": "mine"})["id"] == "classify-mine"


@pytest.mark.parametrize(
    ("parameters", "prediction"),
    [
        (None, {"NEGATIVE": NEGATIVE, "POSITIVE": POSITIVE}),
        ({"output": "logits"}, {"NEGATIVE": -1.0, "POSITIVE": 0.5}),
        ({"output": "index"}, 1),
    ],
)
def test_kserve_gives_labels_or_numbers(parameters: object, prediction: object) -> None:
    for member in ("instances", "inputs"):
        assert answer(KSERVE, {member: ["a", "b"], "parameters": parameters}) == {"predictions": [prediction] * 2}


def test_fms_gives_the_labels_at_or_above_their_threshold() -> None:
    found = answer(FMS, {"contents": ["abc"]})
    assert found == [
        [
            {
                "start": 0,
                "end": 3,
                "text": "abc",
                "detection": "sequence_classifier",
                "detection_type": "POSITIVE",
                "score": POSITIVE,
                "evidences": [],
                "metadata": {},
            }
        ]
    ]
    cases: list[tuple[dict[str, object], list[str]]] = [
        ({"threshold": 0.0}, ["POSITIVE", "NEGATIVE"]),
        ({"threshold": POSITIVE}, ["POSITIVE"]),
        ({"threshold": 1.0}, []),
        ({"threshold": 0, "safe_labels": ["NEGATIVE"]}, ["POSITIVE"]),
        ({"threshold": 0, "safe_labels": [1]}, ["NEGATIVE"]),
        ({"threshold": 0.9, "label_thresholds": {"NEGATIVE": 0.1}}, ["NEGATIVE"]),
    ]
    for parameters, labels in cases:
        (items,) = answer(FMS, {"contents": ["a"], "detector_params": parameters})
        assert [item["detection_type"] for item in items] == labels
    for wrong in ({"safe_labels": ["NEUTRAL"]}, {"safe_labels": [2]}, {"label_thresholds": {"NEUTRAL": 0.1}}):
        with pytest.raises(InvalidRequestError, match="does not have"):
            content(FMS, {"contents": ["a"], "detector_params": wrong})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"inputs": "a"}, [BOTH[0]]),
        ({"inputs": ["a", "b"]}, [BOTH[0], BOTH[0]]),
        ({"inputs": "a", "parameters": {"top_k": None}}, BOTH),
        ({"inputs": ["a"], "parameters": {"top_k": 2, "truncation": True}}, [BOTH]),
        ({"inputs": "a", "parameters": {"function_to_apply": "none"}}, [{"label": "POSITIVE", "score": 0.5}]),
    ],
)
def test_sagemaker_gives_what_the_pipeline_would(body: object, expected: object) -> None:
    assert answer(SAGEMAKER, body) == expected


CSV, LINES = b"text/csv; charset=utf-8", b"application/jsonlines"


@pytest.mark.parametrize(
    ("sent", "accepted", "body", "media_type", "expected"),
    [
        (CSV, CSV, b'inputs\r\n"a, b"\r\nc\r\n', CSV, f"label,score\n{2 * f'POSITIVE,{POSITIVE!r}{chr(10)}'}"),
        (
            LINES,
            b"",
            b'{"inputs":"a"}\n\n{"inputs":"b"}',
            LINES,
            2 * (json.dumps(BOTH[0], separators=(",", ":")) + "\n"),
        ),
        (b"", LINES, b'{"inputs":"a"}', LINES, json.dumps(BOTH[0], separators=(",", ":")) + "\n"),
    ],
)
def test_sagemaker_reads_and_writes_tables_and_lines(
    sent: bytes, accepted: bytes, body: bytes, media_type: bytes, expected: str
) -> None:
    written = content(SAGEMAKER, body, {b"content-type": sent, b"accept": accepted})
    assert isinstance(written, Content)
    assert (written.media_type, written.body.decode()) == (media_type, expected)


@pytest.mark.parametrize(
    ("sent", "body", "pointers"),
    [
        (CSV, b"text\na", [""]),
        (CSV, b"inputs\na,b\nc", ["/inputs/0"]),
        (CSV, b'inputs\n"a', []),
        (CSV, b"inputs\n\xff", []),
        (CSV, b"", []),
        (CSV, b"inputs\n", ["/inputs"]),
        (LINES, b'{"inputs":"a"}\n{"text":"b"}', ["/inputs/1"]),
        (LINES, b"\n", ["/inputs"]),
    ],
)
def test_sagemaker_points_at_the_bad_line(sent: bytes, body: bytes, pointers: list[str]) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read(SAGEMAKER, body, {b"content-type": sent})
    assert [item.pointer for item in refused.value.violations] == pointers
    with pytest.raises(MalformedJsonError, match="line 1: "):
        read(SAGEMAKER, b'{"inputs":"a"}\n{', {b"content-type": LINES})


OWN = [
    {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["POSITIVE"] * 2},
    {"name": "score", "datatype": "FP32", "shape": [2], "data": [POSITIVE] * 2},
    {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "data": [NEGATIVE, POSITIVE] * 2},
    {"name": "labels", "datatype": "BYTES", "shape": [2], "data": ["NEGATIVE", "POSITIVE"]},
]
MLSERVER = {
    "name": "output",
    "datatype": "BYTES",
    "shape": [2, 1],
    "parameters": {"content_type": "hg_jsonlist"},
    "data": [json.dumps(BOTH[0], separators=(",", ":"))] * 2,
}
STRINGS = [f"{POSITIVE:f}:1:POSITIVE", f"{NEGATIVE:f}:0:NEGATIVE"]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (None, OWN),
        ([], OWN),
        ([{"name": "output"}], [MLSERVER]),
        ([{"name": "output-0"}], [{"name": "output-0", "datatype": "INT64", "shape": [2], "data": [1, 1]}]),
        ([{"name": "logits"}], [{"name": "logits", "datatype": "FP32", "shape": [2, 2], "data": [-1.0, 0.5] * 2}]),
        (
            [{"name": "probabilities", "parameters": {"classification": 9}}],
            [{"name": "probabilities", "datatype": "BYTES", "shape": [2, 2], "data": STRINGS * 2}],
        ),
        (
            [{"name": "logits", "parameters": {"classification": 1}}, {"name": "label"}],
            [{"name": "logits", "datatype": "BYTES", "shape": [2, 1], "data": ["0.500000:1:POSITIVE"] * 2}, OWN[0]],
        ),
    ],
)
def test_open_inference_gives_the_outputs_that_are_asked_for(outputs: object, expected: object) -> None:
    for data, shape in ((["a", "b"], [2]), ([["a"], ["b"]], [2, 1])):
        body = {"id": "q", "inputs": [tensor(*data) | {"shape": shape}], "outputs": outputs}
        assert answer(OIP, body) == {
            "model_name": "project",
            "model_version": "0123456789ab",
            "id": "q",
            "outputs": expected,
        }


def test_the_default_outputs_are_the_same_bytes_as_if_they_were_asked_for() -> None:
    for more in ({}, {"id": 'a "quotation"'}):
        usual = {"inputs": [tensor("a", "b")]} | more
        asked = usual | {"outputs": [{"name": name} for name in ("label", "score", "probabilities", "labels")]}
        assert content(OIP, usual) == content(OIP, asked)


def packed(*texts: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def binary_request(
    data: bytes, shape: int, size: int | None = None, **more: object
) -> tuple[bytes, dict[bytes, bytes]]:
    described = tensor() | {"shape": [shape], "parameters": {"binary_data_size": len(data) if size is None else size}}
    del described["data"]
    head = json.dumps({"inputs": [described]} | more).encode()
    return head + data, {b"inference-header-content-length": b"%d" % len(head)}


def test_open_inference_reads_and_writes_binary_data() -> None:
    outputs = [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}, {"name": "output-0"}]
    body, headers = binary_request(
        packed(b"a", "ü".encode()), 2, outputs=outputs, parameters={"binary_data_output": True}
    )
    assert list(read(OIP, body, headers).texts) == ["a", "ü"]
    written = content(OIP, body, headers)
    assert isinstance(written, Content)
    assert written.media_type == b"application/octet-stream"
    ((name, length),) = written.headers
    assert name == b"inference-header-content-length"
    head = json.loads(written.body[: int(length)])
    assert head["outputs"] == [
        OWN[0],
        {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": 16}},
        {"name": "output-0", "datatype": "INT64", "shape": [2], "parameters": {"binary_data_size": 16}},
    ]
    assert written.body[int(length) :] == struct.pack("<4f2q", *[NEGATIVE, POSITIVE] * 2, 1, 1)


@pytest.mark.parametrize(
    ("data", "shape", "size"),
    [
        (packed(b"a")[:-1], 1, None),
        (packed(b"a") + b"\0\0", 2, None),
        (packed(b"\xff"), 1, None),
        (packed(b"a"), 2, None),
        (packed(b"a"), 1, 4),
        (b"", 0, None),
    ],
)
def test_open_inference_refuses_binary_data_that_does_not_fit(data: bytes, shape: int, size: int | None) -> None:
    body, headers = binary_request(data, shape, size)
    with pytest.raises(InvalidRequestError):
        read(OIP, body, headers)
    for length in (b"x", b"%d" % (len(body) + 1), b"9" * 5_000):
        with pytest.raises(InvalidRequestError, match="Inference-Header-Content-Length"):
            read(OIP, body, {b"inference-header-content-length": length})
    with pytest.raises(BatchTooLargeError):
        read(OIP, *binary_request(packed(*[b"a"] * 4), 4))


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        (TEI, {"inputs": 1}, "/inputs"),
        (TEI, {"inputs": []}, "/inputs"),
        (TEI, {"inputs": [["a"], "b"]}, "/inputs"),
        (TEI, {"inputs": [["a"], []]}, "/inputs"),
        (TEI, {"inputs": [["a"], ["b", "c"]]}, "/inputs/1"),
        (TEI, {"inputs": ["a", "b", "c"]}, "/inputs"),
        (TEI, {"inputs": [["a"], ["b" * 11]]}, "/inputs/1/0"),
        (TEI, {"inputs": "a", "truncation_direction": "Left"}, "/truncation_direction"),
        (TEI, {"inputs": "a", "normalize": True}, ""),
        (VLLM, {"input": [1, 2]}, "/input"),
        (VLLM, {"input": [[1, 2]]}, "/input"),
        (VLLM, {"input": ["a", "b" * 11]}, "/input/1"),
        (VLLM, {"input": "a", "truncation_side": "left"}, "/truncation_side"),
        (VLLM, {"input": "a", "add_special_tokens": False}, "/add_special_tokens"),
        (VLLM, {"input": "a", "cache_salt": "s"}, ""),
        (VLLM, {"input": "a", "normalize": True}, ""),
        (KSERVE, {"instances": "a"}, "/instances"),
        (KSERVE, {"instances": ["a"], "inputs": ["a"]}, "/instances"),
        (KSERVE, {}, "/instances"),
        (KSERVE, {"instances": [{"text": "a"}]}, "/instances/0"),
        (KSERVE, {"instances": ["a"], "parameters": {"top_k": 1}}, "/parameters"),
        (OIP, {"inputs": []}, "/inputs"),
        (OIP, {"inputs": [tensor("a"), tensor("b")]}, "/inputs"),
        (OIP, {"inputs": [tensor("a", datatype="FP32")]}, "/inputs/0/datatype"),
        (OIP, {"inputs": [tensor("a", shape=[2])]}, "/inputs/0/shape"),
        (OIP, {"inputs": [tensor("a", data=None)]}, "/inputs/0/data"),
        (OIP, {"inputs": [tensor("a", ["b"])]}, "/inputs/0/data"),
        (OIP, {"inputs": [tensor("a", parameters={"content_type": "base64"})]}, "/inputs/0/parameters/content_type"),
        (OIP, {"inputs": [tensor("a")], "parameters": {"sequence_id": 1}}, "/parameters"),
        (OIP, {"inputs": [tensor("a")], "outputs": [{"name": "logit"}]}, "/outputs/0"),
        (OIP, {"inputs": [tensor("a")], "outputs": [{"name": "label"}, {"name": "label"}]}, "/outputs/1"),
        (
            OIP,
            {"inputs": [tensor("a")], "outputs": [{"name": "label", "parameters": {"classification": 1}}]},
            "/outputs/0",
        ),
        (VLLM, {"input": "a", "request_id": "x" * 129}, "/request_id"),
        (SAGEMAKER, {"inputs": {"text": "a", "text_pair": "b"}}, "/inputs"),
        (SAGEMAKER, {"inputs": "a", "parameters": {"temperature": 1}}, "/parameters"),
        (FMS, {"contents": "a"}, "/contents"),
        (FMS, {"contents": ["a"], "detector_params": {"threshold": 2}}, "/detector_params/threshold"),
        (FMS, {"contents": ["a"], "detector_params": {"regex": []}}, "/detector_params"),
    ],
)
def test_what_cannot_be_served_is_refused_and_pointed_at(path: str, body: object, pointer: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read(path, body)
    assert [item.pointer for item in refused.value.violations] == [pointer]


@pytest.mark.parametrize("path", OTHERS)
def test_what_is_no_json_or_has_a_query_is_said_to_be_so(path: str) -> None:
    for body in (b"", b"{", b"\xff", json.dumps(GOOD[path]).encode("utf-16")):
        with pytest.raises(MalformedJsonError):
            read(path, body)
    with pytest.raises(InvalidRequestError, match="in the body"):
        DIALECTS[path].reader(b"top_k=1")
    assert list(read(path, b"\xef\xbb\xbf" + json.dumps(GOOD[path]).encode()).texts) == ["a"]


PUBLIC = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, MlapiError) and not issubclass(kind, errors.ConfigurationError)
]
BAD_REQUEST: dict[type[MlapiError], int] = {errors.InvalidRequestError: 400, errors.TextTooLongError: 400}
STATUSES: dict[str, dict[type[MlapiError], int]] = {
    TEI: {
        errors.BatchTooLargeError: 422,
        errors.OverloadedError: 429,
        errors.InternalError: 424,
        errors.EngineError: 424,
    },
    VLLM: BAD_REQUEST,
    KSERVE: BAD_REQUEST,
    OIP: BAD_REQUEST,
    SAGEMAKER: {errors.InvalidRequestError: 400},
    FMS: {},
}


def said(document: Any) -> str:  # noqa: ANN401  whatever the JSON holds
    found = document.get("error", document)
    return str(found if isinstance(found, str) else found["message"])


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("path", OTHERS)
def test_every_refusal_has_the_formats_own_status_and_all_of_the_words(path: str, kind: type[MlapiError]) -> None:
    error = kind("what the client may know", violations=[Violation("/x/3", "is wrong")])
    error.__cause__ = RuntimeError("a password")
    refusal = DIALECTS[path].refuse(error, "the-id")
    document = json.loads(refusal.body)
    assert refusal.media_type == "application/json"
    assert said(document) == "what the client may know; /x/3: is wrong"
    assert refusal.status == STATUSES[path].get(kind, int(kind.status))
    schema = DIALECTS[path].operation.problem
    assert set(document) == set(schema.model_fields)
    schema.model_validate(document, strict=True)


def test_tei_tells_empty_texts_from_other_faults() -> None:
    error = InvalidRequestError("no", violations=[Violation("/inputs", errors.EMPTY)])
    refusal = DIALECTS[TEI].refuse(error, "")
    assert (refusal.status, json.loads(refusal.body)["error_type"]) == (400, "Empty")
