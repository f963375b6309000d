"""Which entry a text owns: a digest of its canonical form under the model, and the Redis key made from it.

Raw text goes in here and never comes out. The digest is 32 bytes of BLAKE2b with the model digest as its salt and
personalisation (BLAKE2, section 2.8), so that no two models share an entry. Its first half addresses the entry; its
second half, the fingerprint, travels in the value and is compared on every hit. L1 uses all 32 bytes as its key, which
compares both halves at once.
"""

from binascii import hexlify
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

SCHEMA: Final = 3
"""The version of key and record format together: a new format gets a new number, and so never meets an old record."""

DIGEST_BYTES: Final = 32
ADDRESS_BYTES: Final = 16
_MODEL_DIGEST_BYTES: Final = range(16, 65)


def model_key(model_digest: str) -> bytes:
    """Return the model digest as the key of a BLAKE2b hash.

    Raises:
        ValueError: not 16 to 64 bytes in hexadecimal: fewer would not tell models apart, more cannot be a key.
    """
    key = bytes.fromhex(model_digest)
    if len(key) not in _MODEL_DIGEST_BYTES:
        msg = f"a model digest has 16 to 64 bytes, this one has {len(key)}"
        raise ValueError(msg)
    return key


def address(digest: bytes) -> bytes:
    """Return the 16 bytes that say where a text's entry is."""
    return digest[:ADDRESS_BYTES]


def fingerprint(digest: bytes) -> bytes:
    """Return the 16 bytes that prove that an entry belongs to this text; independent of the address."""
    return digest[ADDRESS_BYTES:]


def text_id(digest: bytes, model_digest: str) -> str:
    """Return what identifies a text and a model to callers without telling either: refer to it in feedback."""
    return f"{address(digest).hex()}-{model_digest}"


def namespace(model_digest: str) -> bytes:
    """Return what the Redis keys of one model have in common: `mlapi:<schema>:<model digest>:`."""
    return f"mlapi:{SCHEMA}:{model_key(model_digest).hex()}:".encode()


def redis_key(namespace: bytes, digest: bytes) -> bytes:
    """Return the Redis key of one text: its namespace and the 32 hexadecimal digits of its address."""
    return namespace + hexlify(address(digest))


def redis_keys(namespace: bytes, digests: Iterable[bytes]) -> list[bytes]:
    """Return the Redis keys of many texts, in order; all are of the same length."""
    # `address` written out: a call for each key would be a third of the time.
    return [namespace + hexlify(digest[:ADDRESS_BYTES]) for digest in digests]


class KeyMaker:
    """Digests the texts of one model."""

    def __init__(self, model_digest: str) -> None:
        """Prepare the hash once; each text starts from a copy of it.

        Raises:
            ValueError: not 16 to 64 bytes in hexadecimal.
        """
        # A key would be a block of its own, and so cost as much again as a short text does.
        seed = blake2b(model_key(model_digest), digest_size=2 * blake2b.SALT_SIZE).digest()
        salt, person = seed[: blake2b.SALT_SIZE], seed[blake2b.SALT_SIZE :]
        self._copy = blake2b(digest_size=DIGEST_BYTES, salt=salt, person=person).copy

    def digest(self, form: bytes) -> bytes:
        """Return the 32-byte digest of a text, given in its canonical form."""
        return self.digest_many((form,))[0]

    def digest_many(self, forms: Sequence[bytes]) -> tuple[bytes, ...]:
        """Return the digests of texts, given in their canonical forms, in the same order."""
        copy = self._copy
        digests = []
        for form in forms:
            state = copy()
            state.update(form)
            digests.append(state.digest())
        return tuple(digests)
