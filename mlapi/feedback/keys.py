"""The secret of the feedback: what signs the ids of answers, and makes pseudonyms of texts and subjects.

One secret, from a file, and one key for each use, derived from it by keyed BLAKE2b. All processes of a deployment that
answer texts or take feedback on them need the same file.
"""

import hmac
import os
import secrets
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Final

from mlapi.errors import ConfigurationError

_MIN_BYTES: Final = 32
_MAX_BYTES: Final = 1024
_PSEUDONYM_BYTES: Final = 16


class FeedbackKeys:
    """The keys that are derived from one secret."""

    def __init__(self, secret: bytes) -> None:
        """Derive them; `secret` is 32 bytes or more, of which 64 digits in hexadecimal are the usual form.

        Raises:
            ConfigurationError: the secret is too short to be one, or longer than a secret is.
        """
        if not _MIN_BYTES <= len(secret) <= _MAX_BYTES:
            msg = f"the secret of the feedback has {len(secret)} bytes; it takes {_MIN_BYTES} to {_MAX_BYTES}"
            raise ConfigurationError(msg)
        self._root = blake2b(secret, digest_size=32, person=b"mlapi feedback").digest()

    def derive(self, use: str) -> bytes:
        """Return the key for one use, 32 bytes."""
        return blake2b(use.encode(), key=self._root, digest_size=32).digest()

    @property
    def fingerprint(self) -> str:
        """What tells secrets apart without telling either: a store keeps it, and refuses to go on with another one."""
        return self.derive("fingerprint").hex()[:16]

    def pseudonym(self, use: str, *parts: bytes) -> str:
        """Return what stands for a value in the store: 32 hexadecimal digits, different for each use.

        Nobody without the secret can tell whether a value that they guess is the one.
        """
        state = blake2b(key=self.derive(use), digest_size=_PSEUDONYM_BYTES)
        for part in parts:
            state.update(len(part).to_bytes(4, "big"))
            state.update(part)
        return state.hexdigest()


class Signer:
    """Makes and checks authentication codes of one use."""

    def __init__(self, keys: FeedbackKeys, use: str, code_bytes: int) -> None:
        """Take the key of that use, and the length of the codes."""
        # A copy costs less than a new keyed state does.
        self._state = blake2b(key=keys.derive(use), digest_size=code_bytes)

    def code(self, parts: Iterable[bytes]) -> bytes:
        """Return the code of some parts, each of which is told from its neighbours."""
        state = self._state.copy()
        for part in parts:
            state.update(len(part).to_bytes(4, "big"))
            state.update(part)
        return state.digest()

    def matches(self, parts: Iterable[bytes], code: bytes) -> bool:
        """Tell whether a code is that of the parts, in a time that does not depend on how much of it is right."""
        return hmac.compare_digest(self.code(parts), code)


def read_keys(file: Path, *, create: bool) -> FeedbackKeys:
    """Read the secret from a file.

    Args:
        file: its path.
        create: whether a file that is missing is made, with a new secret, readable for its owner alone.

    Raises:
        ConfigurationError: the file cannot be read or made, or holds no secret.
    """
    try:
        if create:
            _create(file)
        content = file.read_bytes()
    except OSError as error:
        msg = f"the secret of the feedback, {file}: {error.strerror}"
        raise ConfigurationError(msg) from error
    return FeedbackKeys(content.strip())


def _create(file: Path) -> None:
    """Write a new secret, unless the file is there; of two processes that begin together, one writes it."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as opened:
            opened.write(secrets.token_hex(32) + "\n")
        # A link is there whole or not at all, and fails where another process was first.
        try:
            os.link(draft, file)
        except FileExistsError:
            return
    finally:
        draft.unlink()
