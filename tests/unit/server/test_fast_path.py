"""The fast path takes a head that asks for nothing but an answer, and never one that asks for more."""

import time

import pytest

from mlapi.access.gate import Gate
from mlapi.access.key_text import make_key
from mlapi.access.keyring import Keyring
from mlapi.access.keys_file import KeyRecord
from mlapi.api.accounting import Accounting
from mlapi.api.client_limit import ClientLimit, client_name
from mlapi.api.headers import RequestIds
from mlapi.api.lifecycle import Lifecycle
from mlapi.api.served_model import ServedModel
from mlapi.dialects.base import TextLimits
from mlapi.observability.metrics import Metrics, ModelMetrics
from mlapi.server.fast_path import FastPath
from mlapi.server.known_bodies import KnownBodies, digests_size
from mlapi.server.requests import Caller, Requests

JSON = {b"content-type": b"application/json", b"content-length": b"17"}


def fast_path(*, cross_origin: bool = False, gate: Gate | None = None, client_header: bytes = b"") -> FastPath:
    return FastPath(
        limits=TextLimits(texts=4, chars=20),
        max_body_bytes=1_000,
        served=ServedModel("/project", Lifecycle(), "project"),
        bodies=KnownBodies(bytes(16), digests_size),
        accounting=Accounting(ModelMetrics(Metrics(), "project"), "/project/predict"),
        request_ids=RequestIds(),
        cross_origin=cross_origin,
        client_limit=ClientLimit(0, time.monotonic),
        client_header=client_header,
        gate=gate,
        spans=None,
        clock=time.monotonic,
    )


@pytest.mark.parametrize("cross_origin", [True, False])
def test_a_head_that_needs_the_ordinary_way_does_not_suit(cross_origin: bool) -> None:  # noqa: FBT001  a parameter
    short = fast_path(cross_origin=cross_origin)
    assert short.suits(JSON)
    assert short.suits(JSON | {b"accept-encoding": b"gzip", b"user-agent": b"test", b"x-request-id": b"1"})
    for more in (
        {b"content-encoding": b"gzip"},
        {b"content-encoding": b""},
        {b"content-encoding": b"identity"},
        {b"cache-control": b"no-store"},
        {b"content-type": b"text/plain"},
        {b"model-digest": b"0123456789ab"},
        {b"model-digest": b""},
    ):
        assert not short.suits(JSON | more)


def test_an_origin_matters_only_where_pages_of_other_origins_are_admitted() -> None:
    crossing = JSON | {b"origin": b"https://app.example.com"}
    assert not fast_path(cross_origin=True).suits(crossing)
    assert fast_path(cross_origin=False).suits(crossing)


def test_a_client_is_named_by_its_header_or_its_address() -> None:
    path = fast_path(cross_origin=False)
    caller = path.caller(JSON | {b"x-request-id": b"the-id", b"traceparent": b"00-a-b-01"})
    assert caller == Caller(given_id=b"the-id", client=b"", trace=b"00-a-b-01")
    assert client_name(b"", "::ffff:192.0.2.1") == client_name(b"192.0.2.1", "::1") == "192.0.2.1"


def _head(*lines: bytes) -> bytes:
    return b"\r\n".join((b"POST /project/predict HTTP/1.1", b"Host: a", b"Content-Length: 9", *lines)) + b"\r\n\r\n"


@pytest.mark.parametrize("name", [b"x-request-id", b"X-Request-ID", b"X-Request-Id"])
def test_heads_that_differ_by_their_id_alone_are_read_once(name: bytes) -> None:
    requests = Requests({b"/project/predict": fast_path(cross_origin=False)}, 8192)
    for number in range(100):
        head = _head(b"traceparent: 00-a-b-01", name + b": id-%d" % number, b"accept: */*")
        request, read = requests.recognise(head), requests.read(head)
        assert request.head == read.head
        assert request[1:4] == read[1:4]
    assert requests.known.cache_info().misses == 1


@pytest.mark.parametrize(
    "lines",
    [
        (b"x-request-id: one", b"X-Request-Id: two"),
        (b"X-Other: 1", b"x-request-id: not sane", b"A: b"),
        (b"x-request-id:no-space",),
        (b"x-request-id: ",),
        (b"x-request-ids: one", b"x-request-id: two"),
        (b"cache-control: no-store", b"x-request-id: one"),
        (b"a: x-request-id: one",),
    ],
)
@pytest.mark.parametrize("client_header", [b"", b"x-request-id"])
def test_a_remembered_head_says_what_its_bytes_say(lines: tuple[bytes, ...], client_header: bytes) -> None:
    requests = Requests({b"/project/predict": fast_path(cross_origin=False, client_header=client_header)}, 8192)
    for _ in range(2):
        request, read = requests.recognise(_head(*lines)), requests.read(_head(*lines))
        assert (request.head, *request[1:4]) == (read.head, *read[1:4])


def test_what_a_key_allows_belongs_to_the_remembered_head() -> None:
    gate, key = Gate(Metrics(), now=lambda: 0.0), make_key()
    record = KeyRecord(key.id, (key.digest.hex(),), "test", ("project",))
    gate.admit_only(Keyring([record]))
    short = fast_path(gate=gate)
    caller = short.caller(JSON | {b"x-api-key": str(key).encode()})
    assert caller.grant is not None
    assert caller.grant.id == key.id
    assert short.caller(JSON).grant is None
    assert short.caller(JSON | {b"x-api-key": str(make_key()).encode()}).grant is None

    requests = Requests({b"/project/predict": short}, 8192)
    gate.on_change(requests.forget)
    head = (
        b"POST /project/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nX-API-Key: %b\r\n\r\n" % str(key).encode()
    )
    assert requests.recognise(head).caller == caller
    assert requests.recognise(head).fast_path is short
    gate.admit_only(Keyring([]))
    assert requests.recognise(head).caller.grant is None
    assert short.answer(requests.recognise(head).caller, b'{"text":"a"}', "127.0.0.1") is None
