"""The ids of answers: what identifies a text and a model, and proves what this service said of the text.

`<address of the text>-<model digest>-<what was said, and its code>`, all in hexadecimal. What was said is the winning
label, its score, and whether an opinion is asked for; the code is a keyed hash of all of it. So whoever has the secret
can tell, without a look-up and without the model, that the id is of an answer that was given, and to which text.
"""

import re
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from mlapi.cache.keys import KeyMaker, address, model_key, text_id
from mlapi.feedback.keys import FeedbackKeys, Signer
from mlapi.feedback.votes import Sample, ServedAnswer

_SAID: Final = struct.Struct(">HfB")
_CODE_BYTES: Final = 9
_SHAPE: Final = re.compile(r"([0-9a-f]{32})-([0-9a-f]{32,128})-([0-9a-f]{32})")
_ALL: Final = 2**64


class AnswerIds:
    """Writes and reads the ids of one model's answers."""

    def __init__(self, keys: FeedbackKeys, model: str, *, share: float, draw: Callable[[], float]) -> None:
        """Take the secret and the name of the model.

        Args:
            keys: of the secret.
            model: the name that the model is served under.
            share: of the texts, and of the answers, for which an opinion is asked.
            draw: returns a random number, at least 0 and less than 1.
        """
        self._model = model.encode()
        self._signer = Signer(keys, "answer ids", _CODE_BYTES)
        self._asking = Signer(keys, "texts to ask for", 8)
        self._below = round(share * _ALL)
        self._share = share
        self._draw = draw

    def write(self, digest: bytes, model_digest: str, label: int, score: float) -> tuple[str, Sample]:
        """Return the id of an answer, and why an opinion on it is asked for.

        Args:
            digest: of the text (see `mlapi.cache.keys`).
            model_digest: of the model that answered.
            label: the winning label's place.
            score: its probability.
        """
        of_model = model_key(model_digest)
        sample = self._sample(address(digest), of_model)
        said = _SAID.pack(label, score, sample.value)
        code = self._signer.code((self._model, of_model, address(digest), said))
        return f"{text_id(digest, model_digest)}-{said.hex()}{code.hex()}", sample

    def read(self, given: str) -> ServedAnswer | None:
        """Return what an id says; None if no answer of this model had it."""
        parts = _SHAPE.fullmatch(given)
        if parts is None or len(parts[2]) % 2:
            return None
        of_text, of_model, rest = map(bytes.fromhex, parts.groups())
        said, code = rest[: _SAID.size], rest[_SAID.size :]
        if not self._signer.matches((self._model, of_model, of_text, said), code):
            return None
        label, score, sample = _SAID.unpack(said)
        return ServedAnswer(of_text, parts[2], label, score, Sample(sample))

    def _sample(self, of_text: bytes, of_model: bytes) -> Sample:
        sample = Sample.NONE
        if self._share:
            place = int.from_bytes(self._asking.code((self._model, of_model, of_text)), "big")
            if place < self._below:
                sample |= Sample.TEXTS
            if self._draw() < self._share:
                sample |= Sample.REQUESTS
        return sample


def belongs(form: bytes, answer: ServedAnswer) -> bool:
    """Tell whether an answer is to the text with this canonical form."""
    return address(_key_maker(answer.model_digest).digest(form)) == answer.address


@lru_cache(maxsize=64)
def _key_maker(model_digest: str) -> KeyMaker:
    """Return what digests texts for a model; only ids that this service wrote lead here, so there are few."""
    return KeyMaker(model_digest)
