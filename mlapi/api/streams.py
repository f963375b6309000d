"""What streams of lines have in common, whatever brings them: who may have one, with what, and until when."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from starlette.types import Scope

from mlapi.api.asking import ask, read_wishes
from mlapi.api.headers import RequestHead
from mlapi.api.lifecycle import Lifecycle, Phase
from mlapi.api.lines import Lines, StreamParts
from mlapi.api.route import RouteParts, caller_name, check_pinned
from mlapi.dialects.base import Call, CombiningDialect, Dialect
from mlapi.errors import BodyTimeoutError, DrainingError

T = TypeVar("T")

LOOK_S: Final = 0.25
"""How often, while nothing comes, a stream is asked whether it has to end."""


class StreamLife:
    """Ends streams when the process stops, in time for others to go on with what they have not sent."""

    def __init__(self, lifecycle: Lifecycle, clock: Callable[[], float], grace_s: float) -> None:
        """Begin; a stream that begins when the process is stopping already has `grace_s` seconds."""
        self._lifecycle = lifecycle
        self._clock = clock
        self._until = clock() + grace_s if lifecycle.phase is Phase.DRAINING else 0.0

    def check(self) -> None:
        """Say whether the stream may go on.

        Raises:
            DrainingError: it may not.
        """
        if self._lifecycle.phase is Phase.DRAINING and self._clock() >= self._until:
            msg = "this instance is shutting down: send to another one what has no answer"
            raise DrainingError(msg, retry_after_s=1)


async def wait_alive(receiving: "asyncio.Future[T]", life: StreamLife, idle_s: float) -> T:
    """Wait for what comes next on a stream; give it up with the wait.

    Raises:
        DrainingError: the stream has to end.
        BodyTimeoutError: nothing came in so many seconds.
    """
    looks = 0
    try:
        while not receiving.done():
            life.check()
            if looks * LOOK_S >= idle_s:
                msg = f"nothing came for {idle_s:g} s"
                raise BodyTimeoutError(msg)
            looks += 1
            await asyncio.wait((receiving,), timeout=LOOK_S)
        return receiving.result()
    finally:
        receiving.cancel()


def open_lines(parts: RouteParts, dialect: Dialect, scope: Scope, head: RequestHead, request_id: bytes) -> Lines:
    """Return what answers the lines of a stream that a request opens.

    Raises:
        UnauthorizedError: no key, or none that is valid.
        ForbiddenError: the key does not allow it.
        RequestError: an option that does not exist, or another model than is served.
        RefusalError: the model is not there, not yet or not any more.
    """
    gate = parts.gate
    admit = partial(gate.admit, scope["headers"], parts.served.name, "predict") if gate else _nobody
    grant = admit()
    read = dialect.reader(scope["query_string"])
    check_pinned(scope, head, parts.served)
    model = parts.served.loaded
    wishes = read_wishes(head.cache_control, allow_no_cache=parts.config.allow_no_cache)
    return Lines(
        StreamParts(
            read=read,
            limits=parts.config.limits,
            combine=dialect.combine if isinstance(dialect, CombiningDialect) else _not,
            model=model,
            ask=partial(ask, model.predictor, wishes=wishes),
            accounting=parts.accounting,
            request_id=request_id.decode(),
            client=caller_name(grant, head, scope),
            client_limit=parts.client_limit,
            accounts=gate.accounts if gate else None,
            admit=admit,
            deadline_s=parts.config.deadline_s,
            clock=parts.clock,
        )
    )


def _nobody() -> None:
    """Stand for the key where there are none."""


def _not(_: Call) -> None:
    """Say that windows are not asked for."""
