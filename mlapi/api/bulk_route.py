"""`POST {root}/bulk-predict`: a prediction route that also answers lines, one by one, while the request still comes."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.types import Receive, Scope, Send

from mlapi.api.body import CLIENT_GONE, SEND_FAILURES, ClientGoneError, wait_until_gone
from mlapi.api.content_coding import find_decoder
from mlapi.api.headers import RequestHead, read_head
from mlapi.api.line_window import answer_in_order
from mlapi.api.lines import Answered, Line
from mlapi.api.ndjson import MEDIA_TYPES, LineBody
from mlapi.api.route import PredictionRoute, RouteParts
from mlapi.api.streams import StreamLife, open_lines
from mlapi.dialects.base import Dialect
from mlapi.errors import DrainingError, InvalidHttpError, MlapiError

_ANSWER_TYPE: Final = b"application/x-ndjson"


class BulkRoute(PredictionRoute):
    """One such route."""

    def __init__(self, dialect: Dialect, parts: RouteParts) -> None:
        super().__init__(dialect, parts)
        self._accounting = parts.accounting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        head = read_head(scope["headers"], self.parts.config.client_header)
        if head.content_type.partition(b";")[0].strip().lower() not in MEDIA_TYPES:
            await super().__call__(scope, receive, send)
            return
        request_id = self.parts.request_ids.choose(head.request_id)
        try:
            status = await self._serve_lines(scope, receive, send, head, request_id)
        except ClientGoneError:
            status = CLIENT_GONE
        except SEND_FAILURES:
            await wait_until_gone(receive)
            status = CLIENT_GONE
        self._accounting.stream(status)

    async def _serve_lines(
        self, scope: Scope, receive: Receive, send: Send, head: RequestHead, request_id: bytes
    ) -> int:
        """Answer lines; what is wrong before the first of them came is refused as with any other request."""
        parts = self.parts
        try:
            if scope["http_version"] == "1.0":
                msg = "lines are answered in chunks, which HTTP/1.0 does not have"
                raise InvalidHttpError(msg)
            lines = open_lines(parts, self.dialect, scope, head, request_id)
            values = (value for name, value in scope["headers"] if name == b"content-encoding")
            body = LineBody(
                receive,
                find_decoder(values) if head.encoded else None,
                reader=parts.reader,
                life=StreamLife(parts.served.lifecycle, parts.clock, parts.config.deadline_s),
                max_line_bytes=parts.config.max_body_bytes,
                idle_s=parts.config.idle_s,
            )
            await body.begin()
        except MlapiError as error:
            return await self.refuse(error, request_id, send)
        headers = [
            (b"content-type", _ANSWER_TYPE),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # nginx would keep answers back until it has many
            (b"model-digest", parts.served.loaded.digest),
            (b"x-request-id", request_id),
        ]

        async def answer(batch: Sequence[Line]) -> Answered:
            size = sum(len(line) for line in batch if isinstance(line, bytes))
            try:
                parts.reader.hold(size)
                return await lines.answer(batch)
            finally:
                parts.reader.release(size)

        async def send_lines(answers: Sequence[bytes]) -> None:
            await send({"type": "http.response.body", "body": b"\n".join((*answers, b"")), "more_body": True})

        with self._accounting.streams.track_inprogress():
            await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
            try:
                end = await answer_in_order(body.batches(), answer, send_lines)
            except MlapiError as error:
                end = error
            if end is not None:
                await send_lines([lines.problem(end)])
            await send({"type": "http.response.body", "body": b""})
        # A process that stops has failed nobody: what has no answer is to be sent to another one.
        return HTTPStatus.OK if end is None or isinstance(end, DrainingError) else int(end.status)
