"""Lets requests in by their API keys, and says why it refuses others: to the operator, not to the caller."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from mlapi.access.accounts import Accounts
from mlapi.access.key_text import read_key
from mlapi.access.keyring import Grant, Keyring
from mlapi.access.keys_file import Scope
from mlapi.errors import ForbiddenError, UnauthorizedError
from mlapi.observability.metrics import Metrics

_log = logging.getLogger(__name__)

_QUIET_S: Final = 1.0
"""Each reason is logged once in so many seconds: whoever tries out many keys must not fill the disk."""

_CHALLENGE: Final = "www-authenticate"
_REALM: Final = 'Bearer realm="mlapi"'
_NEEDED: Final = "send an API key as Authorization: Bearer … or as X-API-Key"
_INVALID: Final = "the API key is not valid"


class Gate:
    """The keys that are valid now, and those who wait to hear of new ones.

    Attributes:
        accounts: what each key has spent.
    """

    def __init__(self, metrics: Metrics, *, now: Callable[[], float]) -> None:
        """Start without keys, so that nobody is let in; `now` tells seconds since 1970-01-01 UTC."""
        self.accounts = Accounts(metrics, now=now)
        self._keyring = Keyring(())
        self._now = now
        self._refusals = metrics.key_refusals
        self._count = metrics.keys
        self._listeners: list[Callable[[], object]] = []
        self._quiet_until: dict[str, float] = {}

    def admit_only(self, keyring: Keyring) -> None:
        """Let in by these keys from now on, and by no others."""
        self._keyring = keyring
        self._count.set(len(keyring))
        self.accounts.keep(keyring.ids)
        for listener in self._listeners:
            listener()

    def on_change(self, listener: Callable[[], object]) -> None:
        """Call back whenever other keys are valid: what was remembered of a key is wrong then."""
        self._listeners.append(listener)

    def peek(self, headers: Mapping[bytes, bytes], model: str, scope: Scope) -> Grant | None:
        """Return what the key in these headers allows, if it allows this now; a refusal is not counted."""
        verdict = self._judge(headers, model, scope)
        return None if verdict.error else verdict.grant

    def admit(self, headers: Iterable[tuple[bytes, bytes]], model: str | None, scope: Scope | None) -> Grant:
        """Return what the key in these headers allows; of a repeated header the last counts.

        Args:
            headers: the request's.
            model: which model it is for; None: none.
            scope: what it is to do; None: what any key allows.

        Raises:
            UnauthorizedError: no key, or none that is valid.
            ForbiddenError: the key does not allow this.
        """
        verdict = self._judge(dict(headers), model, scope)
        if verdict.error is None and verdict.grant is not None:
            return verdict.grant
        self._tell(verdict)
        raise verdict.error or _invalid()

    def holds(self, grant: Grant) -> bool:
        """Tell whether the time of a key that was valid is not over."""
        return grant.until > self._now()

    def _judge(self, headers: Mapping[bytes, bytes], model: str | None, scope: Scope | None) -> "_Verdict":
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        given = {token.strip(b" ")} if scheme.lower() == b"bearer" else set()
        if b"x-api-key" in headers:
            given.add(headers[b"x-api-key"].strip(b" "))
        if not given:
            return _Verdict(None, "none", UnauthorizedError(_NEEDED, headers=[(_CHALLENGE, _REALM)]))
        key = read_key(given.pop())
        if key is None or given:
            return _Verdict(None, "malformed", _invalid())
        grant = self._keyring.find(key)
        if grant is None:
            return _Verdict(None, "unknown", _invalid())
        if not self.holds(grant):
            return _Verdict(grant, "expired", _invalid())
        return _allowed(grant, model, scope)

    def _tell(self, verdict: "_Verdict") -> None:
        """Count a refusal, and log it unless the last for that reason was logged just now."""
        self._refusals.labels(verdict.reason).inc()
        now = self._now()
        if now >= self._quiet_until.get(verdict.reason, 0.0):
            self._quiet_until[verdict.reason] = now + _QUIET_S
            known = {"key": verdict.grant.id, "holder": verdict.grant.name} if verdict.grant else {}
            _log.info("refused a request for its API key", extra={"reason": verdict.reason, **known})


class _Verdict(NamedTuple):
    """Whose key it is, if that is known, and the refusal with its reason in one word, if it is one."""

    grant: Grant | None
    reason: str = ""
    error: UnauthorizedError | ForbiddenError | None = None


def _allowed(grant: Grant, model: str | None, scope: Scope | None) -> _Verdict:
    if model is not None and grant.models is not None and model not in grant.models:
        return _Verdict(grant, "model", ForbiddenError("the API key is not for this model"))
    if scope is not None and scope not in grant.scopes:
        challenge = f'{_REALM}, error="insufficient_scope", scope="{scope}"'
        detail = f"the API key does not have the scope {scope}"
        return _Verdict(grant, "scope", ForbiddenError(detail, headers=[(_CHALLENGE, challenge)]))
    return _Verdict(grant)


def _invalid() -> UnauthorizedError:
    """Say nothing of why: the id may be unknown, the secret wrong, the time over."""
    return UnauthorizedError(_INVALID, headers=[(_CHALLENGE, f'{_REALM}, error="invalid_token"')])
