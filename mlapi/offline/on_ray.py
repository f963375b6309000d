"""Answers the parts of a file in actors of Ray, and joins what they write."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from mlapi.offline.base import Answerer, OfflineError, UsageError
from mlapi.offline.job import Count
from mlapi.offline.joining import divide, join
from mlapi.offline.opening import Options, Pair, open_job
from mlapi.offline.ray_address import check_address

_RESTARTS: Final = 3
"""So often an actor that dies begins again, where its part's progress says."""

_EVERY_S: Final = 1.0

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Tally(NamedTuple):
    """What an actor tells of its part.

    Attributes:
        digest: of its model.
        begun: rows that were done before it began.
        done: what is answered, earlier runs included.
        unique: distinct texts that it asked for, each counted once a window.
        cached: how many of those a cache held.
    """

    digest: str
    begun: int
    done: Count
    unique: int
    cached: int


@dataclass(slots=True)
class AskedByAll:
    """How many texts all actors have asked for, as an answerer counts them."""

    unique: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Actors:
    """How many actors there are, and of how many processors each."""

    count: int
    cpus: int


class Board:
    """An actor that holds what the others tell last."""

    def __init__(self) -> None:
        self._told: dict[int, Tally] = {}

    def tell(self, index: int, tally: Tally) -> None:
        """Put down what is told of a part."""
        self._told[index] = tally

    def read(self) -> dict[int, Tally]:
        """Return what was told of each part."""
        return self._told


class PartActor:
    """An actor that answers one part of a file, with a model of its own."""

    def run(
        self,
        pair: Pair,
        options: Options,
        open_answerer: Callable[[], Answerer],
        board: Any,  # noqa: ANN401  Ray's handle
        *,
        restart: bool,
    ) -> Tally:
        """Do what is left to do.

        Args:
            pair: what is read and written.
            options: how.
            open_answerer: loads the model.
            board: where to tell how far it is.
            restart: whether to begin anew, whatever is there.
        """
        answerer = open_answerer()
        begun: int | None = None

        def tally(done: Count) -> Tally:
            return Tally(answerer.digest, begun or 0, done, answerer.unique, answerer.cached)

        def report(done: Count) -> None:
            nonlocal begun
            begun = done.rows if begun is None else begun
            board.tell.remote(pair.part.index, tally(done))

        try:
            job = open_job(pair, options, answerer.digest, _ignore)
            try:
                return tally(job.run(answerer, report, restart=restart))
            finally:
                job.source.close()
        finally:
            answerer.close()


def run_on_ray(
    source: Path,
    target: Path,
    options: Options,
    open_answerer: Callable[[], Answerer],
    actors: Actors,
    *,
    report: Callable[[Count], None],
    asked: AskedByAll,
    restart: bool,
) -> Count:
    """Answer a file; what is written are the bytes that one process would write.

    Args:
        source: the input, in a place that all actors see.
        target: the output, likewise; that of each part is beside it, and stays there.
        options: how.
        open_answerer: loads the model; is called in each actor.
        actors: how many, and of what size.
        report: told at the beginning, and each second.
        asked: kept up to date for `report`.
        restart: whether to begin anew, whatever is there.

    Raises:
        OfflineError: it cannot go on. What the parts have made sure of stays, and a later run continues there.
    """
    pairs = divide(source.absolute(), target.absolute(), actors.count, options, restart=restart)
    with _connected() as ray, _signals_held() as hand_on:
        check_room(ray.nodes(), actors)
        board = ray.remote(num_cpus=0)(Board).remote()
        kind = ray.remote(num_cpus=actors.cpus, max_restarts=_RESTARTS, max_task_retries=_RESTARTS)(PartActor)
        handles = [kind.remote() for _ in pairs]
        results = {
            handle.run.remote(pair, options, open_answerer, board, restart=restart): pair.part.index
            for handle, pair in zip(handles, pairs, strict=True)
        }
        told: dict[int, Tally] = {}
        begun = False
        try:
            pending = list(results)
            while pending:
                hand_on()
                ready, pending = ray.wait(pending, num_returns=1, timeout=_EVERY_S)
                told |= ray.get(board.read.remote())
                told |= {results[done]: ray.get(done) for done in ready}
                if not begun and len(told) == actors.count:
                    # Before all have told of their beginning, it is not known what was done earlier.
                    report(Count(sum(tally.begun for tally in told.values()), 0, 0, None))
                    begun = True
                if begun:
                    _tell(told, asked, report)
            told = {index: ray.get(done) for done, index in results.items()}
        except ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else OfflineError(str(error))) from None
        except ray.exceptions.RayError as error:
            msg = f"Ray has given up: {str(error).strip().splitlines()[0]}; the same command continues"
            raise OfflineError(msg) from error
    _check_model({tally.digest for tally in told.values()})
    join(pairs, target.absolute(), options)
    return _sum(told, 1.0)


@contextmanager
def _connected() -> Iterator[Any]:
    """Connect with the Ray that RAY_ADDRESS names or that runs on this machine, or start one here for this run."""
    check_address()
    # Both the import and the connection take SIGTERM over.
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it tells its makers
    try:
        import ray  # noqa: PLC0415  is in no image, and needed here alone
    except ImportError as error:
        msg = "--ray needs the package ray, in the versions of requirements/ray.txt: see docs/bulk.md"
        raise OfflineError(msg) from error
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="warning")
    except Exception as error:  # what Ray raises has no narrower class in common
        msg = f"Ray cannot be reached or started: {error}"
        raise OfflineError(msg) from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _signals_held() -> Iterator[Callable[[], None]]:
    """Keep signals until the function is called: inside a call of Ray, what a handler raises becomes another error."""
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    noted: list[int] = []

    def hand_on() -> None:
        for number in noted:
            handler = handlers[signal.Signals(number)]
            if callable(handler):
                handler(number, None)

    for number in handlers:
        signal.signal(number, lambda number, _: noted.append(number))
    try:
        yield hand_on
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def check_room(nodes: Sequence[Mapping[str, Any]], actors: Actors) -> None:
    """Refuse actors for which there is no place: they would be waited for without an end."""
    processors = [int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]]
    room = sum(count // actors.cpus for count in processors)
    if room < actors.count:
        shown = " + ".join(map(str, processors)) or "no"
        msg = f"Ray has {shown} processors, which is room for {room} actors of {actors.cpus}, not for {actors.count}"
        raise UsageError(msg)


def _check_model(digests: set[str]) -> None:
    if len(digests) > 1:
        msg = f"the actors' processors compute differently ({', '.join(sorted(digests))}): the parts are not joined"
        raise OfflineError(msg)


def _tell(told: Mapping[int, Tally], asked: AskedByAll, report: Callable[[Count], None]) -> None:
    asked.unique = sum(tally.unique for tally in told.values())
    asked.cached = sum(tally.cached for tally in told.values())
    fractions = [tally.done.fraction or 0.0 for tally in told.values()]
    report(_sum(told, sum(fractions) / len(fractions)))


def _sum(told: Mapping[int, Tally], fraction: float) -> Count:
    counts = [tally.done for tally in told.values()]
    return Count(
        sum(count.rows for count in counts),
        sum(count.refused for count in counts),
        sum(count.truncated for count in counts),
        fraction,
    )


def _ignore(_: str) -> None:
    """Refused rows are listed in files."""
