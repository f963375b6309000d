"""Who is let in, what a refusal tells the caller, and what it tells the operator."""

import logging
from typing import Literal

import pytest

from mlapi.access.gate import Gate
from mlapi.access.key_text import make_key
from mlapi.access.keyring import Keyring
from mlapi.access.keys_file import KeyRecord, read_keys, write_keys
from mlapi.errors import ForbiddenError, RequestError, UnauthorizedError
from mlapi.observability.metrics import Metrics

KEY, OLD, ADMIN = make_key(), make_key(), make_key()
PLAIN, OVER, OTHER = (str(key).encode() for key in (KEY, OLD, ADMIN))
ENDS = 1_000.0


class Fixed:
    """A gate with a few keys, and a clock."""

    def __init__(self) -> None:
        self.time = ENDS
        self.metrics = Metrics()
        self.gate = Gate(self.metrics, now=lambda: self.time)
        records = [
            KeyRecord(KEY.id, (KEY.digest.hex(),), "shop", ("project",)),
            *read_keys(
                write_keys([KeyRecord(OLD.id, (OLD.digest.hex(),), "old")]).replace(
                    b'"name"', b'"expires": "1970-01-01T00:16:40Z", "name"'
                )
            ),
            KeyRecord(ADMIN.id, (ADMIN.digest.hex(),), "operator", scopes=("admin",)),
        ]
        self.gate.admit_only(Keyring(records))

    def admit(
        self, *headers: tuple[bytes, bytes], model: str | None = "project", scope: Literal["predict"] | None = "predict"
    ) -> str:
        return self.gate.admit(headers, model, scope).id

    def refused(self, reason: str) -> float:
        return self.metrics.registry.get_sample_value("mlapi_key_refusals_total", {"reason": reason}) or 0.0


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer " + PLAIN)],
        [(b"authorization", b"bearer  " + PLAIN + b" ")],
        [(b"x-api-key", PLAIN)],
        [(b"authorization", b"Bearer " + PLAIN), (b"x-api-key", PLAIN)],
        [(b"authorization", b"Basic Zm9vOmJhcg=="), (b"x-api-key", PLAIN)],
        [(b"x-api-key", b"nonsense"), (b"x-api-key", PLAIN)],
    ],
)
def test_a_key_is_read_from_either_header(headers: list[tuple[bytes, bytes]]) -> None:
    assert Fixed().admit(*headers) == KEY.id


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], "none"),
        ([(b"authorization", b"")], "none"),
        ([(b"authorization", b"Basic " + PLAIN)], "none"),
        ([(b"authorization", PLAIN)], "none"),
        ([(b"authorization", b"Bearer")], "malformed"),
        ([(b"x-api-key", b"")], "malformed"),
        ([(b"x-api-key", PLAIN + b"x")], "malformed"),
        ([(b"authorization", b"Bearer " + PLAIN), (b"x-api-key", OTHER)], "malformed"),
        ([(b"x-api-key", PLAIN), (b"x-api-key", b"nonsense")], "malformed"),
        ([(b"x-api-key", str(make_key(KEY.id)).encode())], "unknown"),
        ([(b"x-api-key", str(make_key()).encode())], "unknown"),
        ([(b"x-api-key", OVER)], "expired"),
    ],
)
def test_all_else_is_unauthorized_and_the_reason_is_for_the_operator(
    headers: list[tuple[bytes, bytes]], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    fixed = Fixed()
    with caplog.at_level(logging.INFO), pytest.raises(UnauthorizedError) as caught:
        fixed.admit(*headers)
    error = caught.value
    challenge = dict(error.headers)["www-authenticate"]
    if reason == "none":
        assert challenge == 'Bearer realm="mlapi"'
    else:
        assert (error.detail, challenge) == ("the API key is not valid", 'Bearer realm="mlapi", error="invalid_token"')
    assert fixed.refused(reason) == 1
    (record,) = caplog.records
    assert record.__dict__["reason"] == reason
    assert not any(key.secret.decode() in str(record.__dict__) for key in (KEY, OLD, ADMIN))


def test_a_key_ends_at_its_time() -> None:
    fixed = Fixed()
    fixed.time = ENDS - 0.001
    assert fixed.admit((b"x-api-key", OVER)) == OLD.id
    fixed.time = ENDS
    with pytest.raises(UnauthorizedError):
        fixed.admit((b"x-api-key", OVER))


@pytest.mark.parametrize(
    ("key", "model", "reason"),
    [(PLAIN, "lab", "model"), (OTHER, "project", "scope"), (PLAIN, "", "model")],
    ids=["to another model", "to another scope", "to all models"],
)
def test_a_key_does_not_reach_further_than_it_says(key: bytes, model: str, reason: str) -> None:
    fixed = Fixed()
    with pytest.raises(ForbiddenError) as caught:
        fixed.admit((b"x-api-key", key), model=model)
    assert fixed.refused(reason) == 1
    assert ('scope="predict"' in str(caught.value.headers)) == (reason == "scope")
    assert fixed.gate.peek({b"x-api-key": key}, model, "predict") is None
    assert fixed.refused(reason) == 1, "who only looks refuses nobody"


def test_a_path_of_no_model_takes_any_key() -> None:
    assert Fixed().admit((b"x-api-key", OTHER), model=None, scope=None) == ADMIN.id
    with pytest.raises(RequestError):
        Fixed().admit(model=None, scope=None)


def test_who_tries_keys_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    fixed = Fixed()
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            with pytest.raises(UnauthorizedError):
                fixed.admit()
    assert len(caplog.records) == 1
    assert fixed.refused("none") == 100
    fixed.time += 1
    with caplog.at_level(logging.INFO), pytest.raises(UnauthorizedError):
        fixed.admit()
    assert len(caplog.records) == 2
