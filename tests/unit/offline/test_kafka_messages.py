"""What a record becomes: an answer, a dead letter with the reason, or nothing more than it was."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mlapi.offline.answer_shape import AnswerShape
from mlapi.offline.base import Ranking, Refused
from mlapi.offline.consuming import Topics, Writer
from mlapi.offline.text_rows import json_reader

ANSWER = Ranking(("GOOD", "BAD"), (0.75, 0.25))


@dataclass(frozen=True)
class Record:
    """As aiokafka has them."""

    value: bytes | None
    topic: str = "texts"
    partition: int = 3
    offset: int = 17
    headers: tuple[tuple[str, bytes], ...] = (("trace", b"1"),)


def writer(keep: tuple[str, ...] | None = None) -> Writer:
    return Writer(Topics("texts", "scores", "dead"), json_reader("text"), AnswerShape(), keep, "ab" * 16)


def test_an_answer() -> None:
    record = Record(b'{"n": 1.0, "text": "fine", "x": 1}')
    assert writer().text(record) == "fine"
    message = writer().message(record, ANSWER)
    assert message.topic == "scores"
    assert message.value == b'{"n":1.0,"text":"fine","x":1,"label":"GOOD","score":0.75}'
    assert dict(message.headers) == {"trace": b"1", "mlapi-model": b"ab" * 16, "mlapi-source": b"texts/3/17"}
    assert writer().message(record, ANSWER) == message
    kept = writer(("n",)).message(record, ANSWER).value or b""
    assert json.loads(kept) == {"n": 1.0, "label": "GOOD", "score": 0.75}


@pytest.mark.parametrize(
    ("value", "code"),
    [(b"poison", b"invalid_json"), (b"", b"no_text"), (b'{"text": 1}', b"no_text"), (b"\xff", b"invalid_encoding")],
)
def test_a_dead_letter_is_what_it_was(value: bytes, code: bytes) -> None:
    record = Record(value)
    refused: Any = writer().text(record)
    assert isinstance(refused, Refused)
    message = writer().message(record, refused)
    assert (message.topic, message.value, dict(message.headers)["mlapi-error"]) == ("dead", value, code)


def test_an_answer_overwrites_no_field() -> None:
    message = writer().message(Record(b'{"text": "fine", "label": 1}'), ANSWER)
    assert (message.topic, dict(message.headers)["mlapi-error"]) == ("dead", b"name_taken")


def test_a_record_without_a_value_is_passed_on() -> None:
    record = replace(Record(b""), value=None)
    assert writer().text(record) is None
    message = writer().message(record, None)
    assert (message.topic, message.value) == ("scores", None)
