"""What is said to pages of other origins, where all are admitted."""

import pytest
from starlette.types import Message, Scope

from mlapi.api.cross_origin import CrossOrigin

PAGE = b"https://app.example.com"


def scope(method: str, *headers: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "method": method, "headers": list(headers)}


async def sent(cross_origin: CrossOrigin, request: Scope) -> dict[bytes, bytes]:
    """Return the headers of an answer to this request."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await cross_origin.wrap(request, send)({"type": "http.response.start", "status": 200, "headers": []})
    return dict(messages[0]["headers"])


@pytest.mark.parametrize("origin", [PAGE, b"http://localhost:3000", b"null"])
async def test_an_asterisk_admits_all(origin: bytes) -> None:
    admits = CrossOrigin(["*"])
    headers = await sent(admits, scope("POST", (b"origin", origin)))
    assert headers[b"access-control-allow-origin"] == b"*"
    asked = scope("OPTIONS", (b"origin", origin), (b"access-control-request-method", b"POST"))
    assert dict(admits.preflight(asked))[b"access-control-allow-origin"] == b"*"


async def test_who_sends_no_origin_is_told_nothing_where_nobody_keeps_the_answer() -> None:
    admits = CrossOrigin([PAGE.decode()])
    assert await sent(admits, scope("POST")) == {}
    assert await sent(admits, scope("GET")) == {b"vary": b"Origin"}
    assert admits.preflight(scope("OPTIONS", (b"origin", PAGE))) == []
