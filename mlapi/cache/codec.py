"""One prediction as a compact, self-proving record for Redis, and back.

Layout, little-endian, 32 bytes and 4 for each label (40 for two labels)::

    version u8 | flags u8 (1 = truncated) | labels u16 | tokens u32 | fingerprint 16 bytes | logits f32 … | tag 8 bytes

Logits and not scores: what a caller may ask of a hit, raw scores or another activation, can be made of logits alone.

The tag is a BLAKE2b hash (RFC 7693) over all that stands before it, keyed with the model digest: a record that was cut,
damaged, or made for another model does not carry the right one. The fingerprint rejects a sound record that was made
for another text. The tag guards against accidents and mix-ups, not against someone who may write to Redis and knows the
model digest, which is public.
"""

import math
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Final

from mlapi.cache.keys import ADDRESS_BYTES, SCHEMA, fingerprint, model_key
from mlapi.errors import EngineError
from mlapi.postprocessing import Postprocessor
from mlapi.predictions import Prediction

_TAG_BYTES: Final = 8
_TRUNCATED: Final = 1

_REMEMBERED: Final = 2048
"""So many records, the last used, are checked and decoded once, however often Redis sends them; about 2 MB."""


class CorruptRecordError(Exception):
    """A record that is not a prediction of this model for this text; the message says which check it failed."""


class Codec:
    """Writes and reads the records of one model."""

    def __init__(self, model_digest: str, postprocessor: Postprocessor) -> None:
        """Prepare layout and keyed hash; `postprocessor` knows the labels, and makes predictions of logits.

        Raises:
            ValueError: the model digest is not 16 to 64 bytes in hexadecimal.
        """
        self._postprocessor = postprocessor
        self._labels = len(postprocessor.labels)
        self._layout = Struct(f"<BBHI16s{self._labels}f")
        self._logits = Struct(f"<{self._labels}f")
        self._hash = blake2b(digest_size=_TAG_BYTES, key=model_key(model_digest)).copy
        self._open = lru_cache(_REMEMBERED)(self._check)

    def encode(self, digest: bytes, prediction: Prediction) -> bytes:
        """Return the record of a text's prediction.

        Raises:
            ValueError: not one logit per label; a logit that is not finite, or that float32 would round, so that the
                decoded prediction would not be the one that was encoded.
        """
        logits = prediction.logits
        if len(logits) != self._labels:
            msg = f"{len(logits)} logits for {self._labels} labels"
            raise ValueError(msg)
        if not all(map(math.isfinite, logits)):
            msg = f"not finite: {logits}"
            raise ValueError(msg)
        if self._logits.unpack(self._logits.pack(*logits)) != logits:
            msg = f"not exact in float32: {logits}"
            raise ValueError(msg)
        flags = _TRUNCATED if prediction.truncated else 0
        body = self._layout.pack(SCHEMA, flags, self._labels, prediction.tokens, fingerprint(digest), *logits)
        return body + self._tag(body)

    def decode(self, digest: bytes, record: bytes) -> Prediction:
        """Return the prediction that was encoded for this text.

        Raises:
            CorruptRecordError: the record is anything else.
        """
        owner, prediction = self._open(record)
        # `fingerprint` written out: each text of each look-up comes here.
        if owner != digest[ADDRESS_BYTES:]:
            msg = "fingerprint"
            raise CorruptRecordError(msg)
        return prediction

    def _check(self, record: bytes) -> tuple[bytes, Prediction]:
        """Return the fingerprint in a sound record, and the prediction."""
        if len(record) != self._layout.size + _TAG_BYTES:
            msg = "length"
            raise CorruptRecordError(msg)
        body = record[:-_TAG_BYTES]
        if self._tag(body) != record[-_TAG_BYTES:]:
            msg = "tag"
            raise CorruptRecordError(msg)
        version, flags, labels, tokens, owner, *logits = self._layout.unpack(body)
        if version != SCHEMA or flags > _TRUNCATED or labels != self._labels:
            msg = "header"
            raise CorruptRecordError(msg)
        try:
            return owner, self._postprocessor.prediction(logits, tokens=tokens, truncated=flags == _TRUNCATED)
        except EngineError as error:
            msg = "logits"
            raise CorruptRecordError(msg) from error

    def _tag(self, body: bytes) -> bytes:
        state = self._hash()
        state.update(body)
        return state.digest()
