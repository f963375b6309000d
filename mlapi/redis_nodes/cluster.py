"""A Redis Cluster: each key is asked for at the node that serves its slot, all keys of a node in one pipeline.

- A node that fails is not asked for a while, so that the keys of the others do not wait for it: each node has a circuit
  breaker of its own, below that of the whole.
- No node may use up the caller's time: what the others replied is returned before that, with an error in the place of
  each reply that is missing.
- MOVED is followed, and teaches where the slot is now; ASK is followed for this once. Either, and each failure, has the
  whole map learned anew behind the answer.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, InvalidResponse, MovedError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mlapi.redis_nodes.address import HostPort, shown
from mlapi.redis_nodes.base import Command, NodeAwayError, pack
from mlapi.redis_nodes.circuit import Circuit
from mlapi.redis_nodes.failures import Failure, refusal_code
from mlapi.redis_nodes.pool import LeanPool, read_replies
from mlapi.redis_nodes.slot_map import ASK_FOR_SLOTS, SLOTS, SlotRange, read_slots

_ASKING: Final = pack(b"ASKING")
_MAX_REDIRECTS: Final = 4
_LEARN_PAUSE_S: Final = 0.25
_LEARN_LIMIT_S: Final = 0.5
FAILOVER_BACKOFF_S: Final = 2.0
"""How long at most what failed is not asked, where another server takes its place within seconds."""
LEFT_BEHIND: Final = 8
"""Connections more than callers, to one node: those that nobody waits for any more live until their own time limit."""

_logger = logging.getLogger(__name__)


class ClusterWatcher(Protocol):
    """Who is told what happens in a cluster."""

    def redirected(self, kind: str) -> None:
        """A command was sent on to another node: `moved` or `ask`."""

    def serving(self, nodes: Mapping[str, bool]) -> None:
        """The primaries now, and whether each is asked."""


class _Node:
    """One node: its connections, and whether it works."""

    def __init__(self, address: HostPort, pool: LeanPool, circuit: Circuit) -> None:
        self.address = address
        self.name = shown(*address)
        self.pool = pool
        self.circuit = circuit

    async def ask(self, packed: Sequence[bytes], *, asking: bool = False) -> list[Any]:
        """Send commands together and return their replies; `asking` takes them although the slot is not here yet."""
        connection = await self.pool.get_connection()
        # redis-py would time each reply, in a context of its own.
        limit_s, connection.socket_timeout = connection.socket_timeout, None
        try:
            async with asyncio.timeout(limit_s):
                if asking:
                    await connection.send_packed_command((b"".join([_ASKING + command for command in packed]),))
                    return (await read_replies(connection, 2 * len(packed)))[1::2]
                await connection.send_packed_command((b"".join(packed),))
                return await read_replies(connection, len(packed))
        except BaseException:
            # What is left of the replies must not be read as those of the next command.
            await connection.disconnect(nowait=True)
            raise
        finally:
            connection.socket_timeout = limit_s
            await self.pool.release(connection)


class _Errand(NamedTuple):
    """What one node is asked for: the numbers of the commands, and whether it does not own their slots yet."""

    node: _Node
    asking: bool
    numbers: list[int]


@dataclass(frozen=True, slots=True)
class ClusterParts:
    """What a cluster's nodes are made with.

    Attributes:
        make_pool: connections to a node.
        make_circuit: whether a node is asked; given its name.
        watcher: who is told what happens.
        clock: monotonic seconds.
        look_up_s: how long a look-up waits for nodes: less than its time budget.
    """

    make_pool: Callable[[str, int], LeanPool]
    make_circuit: Callable[[str], Circuit]
    watcher: ClusterWatcher
    clock: Callable[[], float]
    look_up_s: float


class ClusterNodes:
    """`RedisNodes` of a cluster."""

    def __init__(self, hosts: Sequence[HostPort], parts: ClusterParts) -> None:
        """Take some of its nodes, or a name that stands for them; nothing is connected yet."""
        self.max_backoff_s = FAILOVER_BACKOFF_S
        self._hosts = hosts
        self._parts = parts
        self._clock = parts.clock
        self._nodes: dict[HostPort, _Node] = {}
        self._slots: list[_Node | None] = []
        self._learning: asyncio.Task[None] | None = None
        self._problem: RedisError | OSError = RedisConnectionError("no node of the cluster was asked yet")
        self._learn_from = float("-inf")
        self._under_way: set[asyncio.Task[list[Any]]] = set()

    @property
    def trouble(self) -> str | None:
        """How many nodes are not asked, and why the first of them is not."""
        down = [failure for node in self._primaries() if (failure := node.circuit.failure)]
        return f"{len(down)} of {len(self._primaries())} nodes: {down[0].reason}" if down else None

    async def mget(self, keys: Sequence[bytes]) -> list[Any]:
        """See `RedisNodes`; a key is an MGET of its own, for few share a slot, and those only in one that stays."""
        start = b"*2\r\n$4\r\nMGET\r\n$%d\r\n" % len(keys[0])
        commands = [Command(key, start + key + b"\r\n") for key in keys]
        replies = await self.pipeline(commands, limit_s=self._parts.look_up_s)
        return [_value(reply) for reply in replies]

    async def pipeline(self, commands: Sequence[Command], *, limit_s: float) -> list[Any]:
        """See `RedisNodes`; nodes are asked side by side."""
        end = self._clock() + limit_s
        if not self._slots:
            await asyncio.shield(self._learn())
            if not self._slots:
                raise self._problem
        replies: list[Any] = [None] * len(commands)
        errands = self._first_errands(commands, replies)
        for _ in range(1 + _MAX_REDIRECTS):
            if not errands:
                break
            await self._run(errands, commands, replies, end - self._clock())
            errands = self._redirected(errands, replies)
        return replies

    async def renew(self) -> None:
        """Learn the map anew: whoever serves a slot now is asked from then on."""
        self._learn_soon()

    async def close(self) -> None:
        """Close all connections."""
        tasks = [task for task in (self._learning, *self._under_way) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(node.pool.aclose() for node in self._nodes.values()), return_exceptions=True)

    def _primaries(self) -> list[_Node]:
        return list(self._nodes.values())

    def _first_errands(self, commands: Sequence[Command], replies: list[Any]) -> list[_Errand]:
        by_node: dict[_Node, list[int]] = {}
        slots = self._slots
        for number, command in enumerate(commands):
            node = slots[key_slot(command.key)]
            if node is None:
                replies[number] = ClusterDownError("CLUSTERDOWN Hash slot not served")
                self._learn_soon()
            else:
                by_node.setdefault(node, []).append(number)
        return [_Errand(node, asking=False, numbers=numbers) for node, numbers in by_node.items()]

    async def _run(
        self, errands: Iterable[_Errand], commands: Sequence[Command], replies: list[Any], limit_s: float
    ) -> None:
        """Ask nodes side by side, for so long at most, and write what they reply."""
        tasks: dict[asyncio.Task[list[Any]], tuple[_Errand, float]] = {}
        for errand in errands:
            if not errand.node.circuit.allow():
                _write(replies, errand, NodeAwayError(f"{errand.node.name} is not asked for now"))
                self._learn_soon()
                continue
            packed = [commands[number].packed for number in errand.numbers]
            task = asyncio.create_task(errand.node.ask(packed, asking=errand.asking))
            self._under_way.add(task)
            task.add_done_callback(self._arrived)
            # After the circuit was asked: what began before a probe says nothing about it.
            tasks[task] = errand, self._clock()
        if tasks:
            # Those that take longer end by the time limits of the connection, which is then safe to use again.
            await asyncio.wait(tasks, timeout=max(0.0, limit_s))
        for task, (errand, began) in tasks.items():
            self._settle(task, errand, replies, began)

    def _settle(self, task: "asyncio.Task[list[Any]]", errand: _Errand, replies: list[Any], began: float) -> None:
        error: BaseException | None
        if not task.done():
            error = RedisTimeoutError("no answer within the time budget")
        elif task.cancelled():
            error = RedisConnectionError("closed")
        else:
            error = task.exception()
        if error is None:
            found = task.result()
            loading = found[0] if all(refusal_code(reply) == "LOADING" for reply in found) else None
            if loading is None:
                circuit = errand.node.circuit
                failed_before = circuit.failure
                circuit.succeeded(began)
                if circuit.failure is not failed_before:
                    self._tell()
                for number, reply in zip(errand.numbers, found, strict=True):
                    replies[number] = reply
                return
            error = loading
        if not isinstance(error, RedisError | OSError):
            raise error
        _write(replies, errand, error)
        errand.node.circuit.failed(began, Failure.of(error))
        self._tell()
        self._learn_soon()

    def _redirected(self, errands: Iterable[_Errand], replies: Sequence[Any]) -> list[_Errand]:
        """Return what is to be asked elsewhere, as those who were asked say."""
        again: dict[tuple[_Node, bool], list[int]] = {}
        for errand in errands:
            for number in errand.numbers:
                reply = replies[number]
                if isinstance(reply, AskError):
                    moved = isinstance(reply, MovedError)
                    node = self._node((reply.host or errand.node.address[0], reply.port))
                    if moved:
                        self._slots[reply.slot_id % SLOTS] = node
                        self._learn_soon()
                    self._parts.watcher.redirected("moved" if moved else "ask")
                    again.setdefault((node, not moved), []).append(number)
                elif isinstance(reply, ClusterDownError):
                    self._learn_soon()
        return [_Errand(node, asking, numbers) for (node, asking), numbers in again.items()]

    def _node(self, address: HostPort) -> _Node:
        node = self._nodes.get(address)
        if node is None:
            circuit = self._parts.make_circuit(shown(*address))
            node = self._nodes[address] = _Node(address, self._parts.make_pool(*address), circuit)
        return node

    def _learn_soon(self) -> None:
        if self._clock() >= self._learn_from:
            self._learn()

    def _learn(self) -> "asyncio.Task[None]":
        """Learn the map in a task of its own, one at a time."""
        if self._learning is None or self._learning.done():
            self._learning = asyncio.create_task(self._ask_around())
        return self._learning

    async def _ask_around(self) -> None:
        """Take the map from the first node that has one: those that work, those that do not, those of the settings."""
        known = sorted(self._nodes.values(), key=lambda node: node.circuit.failure is not None)
        strangers = [host for host in self._hosts if host not in self._nodes]
        try:
            for node in known:
                try:
                    self._adopt(await self._map_of(node.pool, node.address))
                except (RedisError, OSError) as error:
                    self._problem = error
                else:
                    return
            for host in strangers:
                pool = self._parts.make_pool(*host)
                try:
                    self._adopt(await self._map_of(pool, host))
                except (RedisError, OSError) as error:
                    self._problem = error
                else:
                    return
                finally:
                    await asyncio.gather(pool.aclose(), return_exceptions=True)
        finally:
            self._learn_from = self._clock() + _LEARN_PAUSE_S

    async def _map_of(self, pool: LeanPool, address: HostPort) -> list[SlotRange]:
        async with asyncio.timeout(_LEARN_LIMIT_S):
            (reply,) = await _Node(address, pool, self._parts.make_circuit("")).ask([ASK_FOR_SLOTS])
        if isinstance(reply, RedisError):
            raise reply
        return read_slots(reply, address)

    def _adopt(self, ranges: Iterable[SlotRange]) -> None:
        """Ask by this map from now on, and let go of nodes that it does not name."""
        slots: list[_Node | None] = [None] * SLOTS
        named: dict[HostPort, _Node] = {}
        for part in ranges:
            node = named[part.primary] = self._node(part.primary)
            slots[part.first : part.last + 1] = [node] * (part.last + 1 - part.first)
        gone = [node for address, node in self._nodes.items() if address not in named]
        if self._slots and (gone or len(named) != len(set(filter(None, self._slots)))):
            _logger.warning(
                "the cluster's primaries are now %s", ", ".join(sorted(node.name for node in named.values()))
            )
        self._slots, self._nodes = slots, named
        for node in gone:
            task = asyncio.create_task(_let_go(node.pool))
            self._under_way.add(task)
            task.add_done_callback(self._arrived)
        self._tell()

    def _tell(self) -> None:
        self._parts.watcher.serving({node.name: node.circuit.failure is None for node in self._primaries()})

    def _arrived(self, task: "asyncio.Task[list[Any]]") -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            # Read, so that asyncio does not call it lost: those who waited have left.
            task.exception()


async def _let_go(pool: LeanPool) -> list[Any]:
    """Close what is idle; what is in use closes when it is put back."""
    await pool.renew()
    return []


def _write(replies: list[Any], errand: _Errand, error: BaseException) -> None:
    for number in errand.numbers:
        replies[number] = error


def _value(reply: object) -> object:
    if isinstance(reply, RedisError | OSError):
        return reply
    if type(reply) is list and len(reply) == 1:
        return reply[0]
    return InvalidResponse("the reply to MGET is not one value a key")
