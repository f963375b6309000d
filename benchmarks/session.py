"""One run: every peer through every stage, round after round, and a record of it all."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import uvloop

from benchmarks import checks, limits
from benchmarks.catalogue import HELLO, Cache, Peer
from benchmarks.machine import Meter
from benchmarks.model import LABELS, TOKENIZER, Model
from benchmarks.results import MACHINE, Failure, Observation, Record
from benchmarks.rows import HELLO_ROWS, ROWS, Row, Stage, applies
from benchmarks.servers import Places, ServeError, Server
from benchmarks.workloads import KNOWN_TOKENS, Drive, Effort
from mlapi.access.key_text import make_key
from mlapi.access.keys_file import KeyRecord, write_keys
from mlapi.access.quota import Quota
from mlapi.bench.load import LoadError
from mlapi.bench.traffic import Traffic, read_words

_WARM_BATCH: Final = 32
_PROBE: Final = "a probe"

_NO_LIMIT: Final = 1e9
"""Texts a second: a quota that is counted and never reached."""

_REST_S: Final = 5.0
"""After the load, before a service's memory is read: what its last requests held should have come back by then."""


@dataclass(frozen=True, slots=True)
class Player:
    """A peer that is installed.

    Attributes:
        peer: who.
        programs: the folder of its programs.
        model: the model as it reads it: a checkpoint, or a bundle.
    """

    peer: Peer
    programs: Path
    model: Path


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays, and on which processors."""

    players: Sequence[Player]
    server_processor: int
    load_processor: int

    @property
    def both(self) -> tuple[int, int]:
        """Both processors."""
        return self.server_processor, self.load_processor


class Watch:
    """Says who used the processors since it was made, or since it was last told to begin."""

    def __init__(self, processors: tuple[int, ...], server: Server) -> None:
        self._processors = processors
        self._server = server
        self.begin()

    def begin(self) -> None:
        """Forget what was."""
        self._meter = Meter(self._processors)
        self._used = self._server.processor_s
        self._started = time.perf_counter()

    def read(self) -> dict[str, float]:
        """Return the share of the processors that others used, and how many of them the server did."""
        seconds = time.perf_counter() - self._started
        used = self._server.processor_s - self._used
        return {"foreign": self._meter.foreign_share(), "server_processors": used / seconds}


class Session:
    """Runs the rows and takes down what comes of them."""

    def __init__(
        self,
        *,
        cast: Cast,
        rows: Sequence[Row],
        effort: Effort,
        model: Model,
        redis_url: Callable[[Peer], str],
        scratch: Path,
        record: Record,
        bf16_distance: float,
        bind: Callable[[Sequence[int]], None],
        say: Callable[[str], None],
        sleep: Callable[[float], None],
    ) -> None:
        """Wire the parts.

        Args:
            cast: who plays.
            rows: what is run.
            effort: how much of it.
            model: what is served.
            redis_url: a database for each peer.
            scratch: a folder that peers may write to.
            record: where it is taken down.
            bf16_distance: how far PyTorch's own bf16 is from the reference.
            bind: binds this process to processors.
            say: told what is being done.
            sleep: waits some seconds.
        """
        self._cast = cast
        self._rows = rows
        self._effort = effort
        self._model = model
        self._redis_url = redis_url
        self._scratch = scratch
        self._record = record
        self._bf16_distance = bf16_distance
        self._bind = bind
        self._say = say
        self._sleep = sleep
        self._words = read_words(TOKENIZER)
        self._known = list(islice(Traffic(self._words, "known").texts(KNOWN_TOKENS), effort.known))
        self._warmed: set[str] = set()
        self._key = make_key()

    def run(self, rounds: int) -> None:
        """Run every stage with every peer in turn, and all of that `rounds` times.

        The machine's own peak is measured before, between and after: once it may meet a slow minute.
        """
        self._peaks(0)
        for number in range(1, rounds + 1):
            for stage in Stage:
                rows = [row for row in self._rows if row.stage is stage]
                if stage is Stage.SPLIT and rows:
                    self._limit(number)
                for player in self._cast.players:
                    peer = player.peer
                    todo = [row for row in rows if applies(row, peer) and not (number > 1 and row.skips_later(peer))]
                    if todo and not self._given_up(peer):
                        self._say(f"round {number} of {rounds}: {peer.name}, {', '.join(row.name for row in todo)}")
                        self._stage(player, stage, todo, number)
            self._peaks(number)

    def _peaks(self, number: int) -> None:
        self._say("matrix products")
        self._bind(self._cast.both)
        self._record.observations.append(Observation(MACHINE, "peak", number, limits.matrix_peaks(self._cast.both)))

    def _given_up(self, peer: Peer) -> bool:
        return any(item.peer == peer.name and not item.row for item in self._record.failures)

    def _limit(self, number: int) -> None:
        """Measure the bare server under the same conditions as the hits."""
        self._say(f"round {number}: bare uvicorn")
        with self._serving(Player(HELLO, Path(), Path()), Stage.SPLIT) as server:
            for row in HELLO_ROWS:
                self._observe(HELLO, row, server, number)

    def _stage(self, player: Player, stage: Stage, rows: Sequence[Row], number: int) -> None:
        peer = player.peer
        try:
            with self._serving(player, stage) as server:
                self._check(peer, server)
                started = server.memory
                if any(Cache.NONE not in row.caches for row in rows):
                    self._warm(peer, server)
                for row in rows:
                    self._observe(peer, row, server, number)
                if stage is Stage.SHARED:
                    self._sleep(_REST_S)
                    resources = {
                        "first_answer_s": server.first_answer_s,
                        "loaded_mib": started.now,
                        "loaded_peak_mib": started.peak,
                        "steady_mib": server.memory.now,
                        "peak_mib": server.memory.peak,
                    }
                    self._record.observations.append(Observation(peer.name, "resources", number, resources))
        except ServeError as error:
            self._say(f"{peer.name}: {error}")
            self._record.failures.append(Failure(peer.name, "", str(error)))

    @contextmanager
    def _serving(self, player: Player, stage: Stage) -> Iterator[Server]:
        """Run a peer, with this process where the stage wants it."""
        peer, shared = player.peer, stage is Stage.SHARED
        processors = self._cast.both if shared else (self._cast.server_processor,)
        variants = {Stage.SECOND_TIER: peer.second_tier, Stage.KEYED: peer.keyed, Stage.METERED: peer.keyed}
        extra = variants.get(stage) or {}
        places = Places(
            programs=player.programs,
            model=player.model,
            redis=self._redis_url(peer),
            scratch=(self._scratch / peer.name).resolve(),
        )
        if extra and extra is peer.keyed:
            places.scratch.mkdir(parents=True, exist_ok=True)
            quota = Quota(texts_per_second=_NO_LIMIT) if stage is Stage.METERED else None
            record = KeyRecord(self._key.id, (self._key.digest.hex(),), "benchmark", quota=quota)
            (places.scratch / "keys.json").write_bytes(write_keys([record]))
        # Polling for the first answer must not take a processor away from a server that starts.
        self._bind((self._cast.load_processor,))
        probe = peer.dialect.write([_PROBE])
        with Server(peer, places, processors, extra, probe, headers=self._headers(stage)) as server:
            self._bind(self._cast.both if shared else (self._cast.load_processor,))
            yield server

    def _headers(self, stage: Stage) -> dict[str, str]:
        """Return what every request of a stage carries."""
        return {"authorization": f"Bearer {self._key}"} if stage in {Stage.KEYED, Stage.METERED} else {}

    def _check(self, peer: Peer, server: Server) -> None:
        """Hold a peer's answers to the reference's.

        Raises:
            ServeError: they differ.
        """
        texts, expected = list(self._model.reference), list(self._model.reference.values())
        answers = [scores for text in texts for scores in server.ask([text])]
        answers_together = server.ask(texts[:2], bulk=True)
        find_fault = partial(
            checks.find_fault, labels=LABELS, tolerance=self._tolerance(peer), all_labels=peer.all_labels
        )
        fault = find_fault(answers, expected) or find_fault(answers_together, expected[:2])
        if fault:
            msg = f"wrong answers: {fault}"
            raise ServeError(msg)
        apart = checks.furthest(answers, expected, LABELS)
        self._record.observations.append(Observation(peer.name, "answers", 0, {"furthest": apart}))

    def _tolerance(self, peer: Peer) -> float:
        """How far a probability may be from the reference's.

        In bf16 what PyTorch's own bf16 gives away on these texts and weights, twice: two engines round at different
        places, and either may be the one that is nearer to fp32.
        """
        return 2 * self._bf16_distance if peer.precision == "bf16" else peer.tolerance

    def _warm(self, peer: Peer, server: Server) -> None:
        """Have a peer compute the known texts, unless its cache outlived the last time."""
        if peer.cache is not Cache.TEXTS or peer.name in self._warmed:
            return
        for start in range(0, len(self._known), _WARM_BATCH):
            server.ask(self._known[start : start + _WARM_BATCH], bulk=True)
        self._warmed.add(peer.name)

    def _observe(self, peer: Peer, row: Row, server: Server, number: int) -> None:
        watch = Watch(self._cast.both, server)
        drive = Drive(
            peer=peer,
            target=server.target,
            traffic=lambda name: Traffic(self._words, f"{name}, round {number}"),
            known=self._known,
            effort=self._effort,
            slow=peer.slow,
            begin=watch.begin,
        )
        self._say(f"  {peer.name}, {row.name}")
        try:
            measures = uvloop.run(self._bounded(row, drive))
        except LoadError as error:
            self._say(f"{peer.name}, {row.name}: {error}")
            self._record.failures.append(Failure(peer.name, row.name, str(error)))
            return
        if not measures["answered"]:
            self._record.failures.append(Failure(peer.name, row.name, "no request was answered with 200"))
            return
        self._record.observations.append(Observation(peer.name, row.name, number, measures | watch.read()))

    @staticmethod
    async def _bounded(row: Row, drive: Drive) -> dict[str, float]:
        measures = await row.run(drive)
        # Loops that were cancelled close their connections in the next turn.
        await asyncio.sleep(0)
        return measures


def choose_rows(names: Sequence[str], *, full: bool) -> list[Row]:
    """Return the rows of a profile, or those named.

    Raises:
        KeyError: there is no such row.
    """
    if names:
        return [ROWS[name] for name in names]
    return [row for row in ROWS.values() if full or not row.full_only]
