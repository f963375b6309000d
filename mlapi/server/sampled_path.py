"""Shows a share of the requests that a short way takes up to the sample of hot texts; in nobody's way without one."""

from collections.abc import Mapping
from typing import Final

from mlapi.api.application import Application
from mlapi.cache.hot_texts import HotTexts
from mlapi.dialects.base import ReadBody, TextLimits
from mlapi.server.requests import Caller, Choosy, Pending

_NOTHING: Final = b""


class SampledPath:
    """A short way, seen from outside.

    What it leaves to the route is not looked at: a request without a valid key, beyond a limit, or not plain, such as
    one that says `no-store`.
    """

    def __init__(self, path: Choosy, read: ReadBody, limits: TextLimits, sample: HotTexts) -> None:
        """Stand before `path`; `read` finds the texts of a body."""
        self._path = path
        self._read = read
        self._limits = limits
        self._sample = sample
        self.suits = path.suits
        self.caller = path.caller

    def answer(self, caller: Caller, body: bytes, peer: str) -> bytes | Pending | None:
        """Return what the short way does."""
        answer = self._path.answer(caller, body, peer)
        if answer is not None and self._sample.due():
            self._sample.note(self._read(body, self._limits).texts)
        return answer


def sampled_paths(app: Application, paths: Mapping[bytes, Choosy]) -> dict[bytes, Choosy]:
    """Return the short ways of an application, those of models with a sample of hot texts in front of it."""
    sampled = dict(paths)
    for mount in app.mounts:
        if mount.hot_texts is None:
            continue
        for name, route in mount.predictions.items():
            target = f"{mount.root}/{name}".encode()
            if target in paths:
                read = route.dialect.reader(_NOTHING)
                sampled[target] = SampledPath(paths[target], read, route.parts.config.limits, mount.hot_texts)
    return sampled
