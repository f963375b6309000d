"""Redis as production runs it, of real processes: a primary that three Sentinels watch, and a cluster of six nodes."""

import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from tests.service_process import HOST
from tools.private_redis import PrivateRedis, free_port

PRIMARY: Final = "primary"
SLOTS: Final = 16_384
_BUS: Final = 10_000
_NODES: Final = 3


def waited_for(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait until something has become true; a server that does not answer yet is one for which it has not."""
    give_up_at = time.monotonic() + seconds
    while True:
        with suppress(RedisError):
            if condition():
                return
        assert time.monotonic() < give_up_at, f"waited in vain for {what}"
        time.sleep(0.01)


class _Deployment:
    """Several servers in a folder of their own; a context manager that ends them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self, options: Sequence[str] = (), pick_port: Callable[[], int] | None = None) -> PrivateRedis:
        server = PrivateRedis(options, pick_port=pick_port)
        self._stack.callback(server.forget)
        self._stack.callback(server.kill)
        return server

    def client(self, server: PrivateRedis) -> Any:  # noqa: ANN401  redis-py's types leave open what it returns
        """Return a client of one server."""
        client = Redis.from_url(server.url)
        self._stack.callback(client.close)
        return client


class SentinelDeployment(_Deployment):
    """A primary, its replica, and three Sentinels that agree within a second that it is gone.

    Attributes:
        servers: the primary at the start, and its replica.
        sentinels: those who watch.
    """

    def __init__(self) -> None:
        """Start them, and wait until they know each other."""
        super().__init__()
        self.servers = [self._start(), self._start()]
        self.client(self.servers[1]).replicaof(HOST, self.servers[0].port)
        waited_for(lambda: self._info(1).get("master_link_status") == "up", "the replica")
        self.sentinels = [self._start_sentinel(number) for number in range(3)]
        waited_for(lambda: all(map(self._knows_all, self.sentinels)), "the Sentinels")

    @property
    def url(self) -> str:
        """How a client names it."""
        return f"redis+sentinel://{self.places}/{PRIMARY}/0"

    @property
    def places(self) -> str:
        """The Sentinels' hosts and ports."""
        return ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)

    @property
    def primary(self) -> PrivateRedis:
        """The server that Sentinels name now."""
        found = {self._master(sentinel)["port"] for sentinel in self.sentinels if sentinel.running}
        return next(server for server in self.servers if found == {server.port})

    def fail_over(self) -> None:
        """Have the replica take over, in good order, and wait until it has."""
        before = self.primary
        self.client(self.sentinels[0]).execute_command("SENTINEL", "FAILOVER", PRIMARY)
        self.wait_for_another_than(before)

    def wait_for_another_than(self, before: PrivateRedis) -> None:
        """Wait until Sentinels agree on another primary."""

        def others() -> bool:
            found = {self._master(sentinel)["port"] for sentinel in self.sentinels}
            return len(found) == 1 and before.port not in found

        waited_for(others, "another primary")

    def _info(self, number: int) -> dict[str, Any]:
        info: dict[str, Any] = self.client(self.servers[number]).info("replication")
        return info

    def _master(self, sentinel: PrivateRedis) -> dict[str, Any]:
        state: dict[str, Any] = self.client(sentinel).sentinel_masters()[PRIMARY]
        return state

    def _knows_all(self, sentinel: PrivateRedis) -> bool:
        state = self._master(sentinel)
        return (state["num-other-sentinels"], state["num-slaves"]) == (2, 1)

    def _start_sentinel(self, number: int) -> PrivateRedis:
        settings = self.folder / f"sentinel-{number}.conf"
        settings.write_text(
            f"sentinel monitor {PRIMARY} {HOST} {self.servers[0].port} 2\n"
            f"sentinel down-after-milliseconds {PRIMARY} 600\n"
            f"sentinel failover-timeout {PRIMARY} 3000\n"
        )
        return self._start([str(settings), "--sentinel"])


class ClusterDeployment(_Deployment):
    """Three primaries, each with a replica, which takes over within seconds.

    Attributes:
        servers: the three primaries at the start, then their replicas.
    """

    def __init__(self) -> None:
        """Start six nodes, share out the slots, and wait until all agree."""
        super().__init__()
        self.servers = [self._start_node(number) for number in range(2 * _NODES)]
        self.clients = [self.client(server) for server in self.servers]
        self.ids = [client.execute_command("CLUSTER", "MYID").decode() for client in self.clients]
        for number, client in enumerate(self.clients):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for number in range(_NODES):
            part = range(number * SLOTS // _NODES, (number + 1) * SLOTS // _NODES)
            self.clients[number].execute_command("CLUSTER", "ADDSLOTS", *part)
        for server in self.servers[1:]:
            self.clients[0].execute_command("CLUSTER", "MEET", HOST, server.port)
        waited_for(
            lambda: all(self._info(client)["cluster_known_nodes"] == "6" for client in self.clients), "all nodes"
        )
        for number in range(_NODES):
            waited_for(partial(self._follow, self.clients[number + _NODES], number), "a replica")
        self.wait_until_whole()

    @property
    def url(self) -> str:
        """How a client names it."""
        return "redis+cluster://" + ",".join(f"{HOST}:{server.port}" for server in self.servers[:2])

    def wait_until_whole(self) -> None:
        """Wait until all that run agree that every slot is served, and replicas have what they copy."""
        waited_for(lambda: all(map(self._content, self._running())), "the cluster")

    def owner(self, key: bytes) -> int:
        """Return the number of the server that serves a key, as the others see it."""
        slot = key_slot(key)
        for first, last, primary, *_ in self._running()[0].execute_command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(number for number, server in enumerate(self.servers) if server.port == primary[1])
        raise AssertionError(slot)

    def replica_of(self, number: int) -> int:
        """Return the number of the server that copies another."""
        for other, client in enumerate(self.clients):
            if self.servers[other].running:
                info = client.info("replication")
                if info["role"] == "slave" and info["master_port"] == self.servers[number].port:
                    return other
        raise AssertionError(number)

    def begin_moving(self, slot: int, source: int, target: int) -> None:
        """Have a node send on what it no longer holds of a slot."""
        self.clients[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.ids[source])
        self.clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.ids[target])

    def end_moving(self, slot: int, source: int, target: int) -> None:
        """Move what is left of a slot, and give it to its new node."""
        while keys := self.clients[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            place = (HOST, self.servers[target].port, "", 0, 5_000, "KEYS", *keys)
            self.clients[source].execute_command("MIGRATE", *place)
        for number in (target, source):
            self.clients[number].execute_command("CLUSTER", "SETSLOT", slot, "NODE", self.ids[target])

    def move(self, slots: Iterable[int], source: int, target: int) -> None:
        """Move slots from one node to another."""
        for slot in slots:
            self.begin_moving(slot, source, target)
            self.end_moving(slot, source, target)

    def _start_node(self, number: int) -> PrivateRedis:
        options = ["--cluster-enabled", "yes", "--cluster-config-file", str(self.folder / f"nodes-{number}.conf")]
        options += ["--cluster-node-timeout", "1000", "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"]
        return self._start(options, _port_with_a_bus)

    def _follow(self, replica: Any, number: int) -> bool:  # noqa: ANN401  as above
        replica.execute_command("CLUSTER", "REPLICATE", self.ids[number])
        return True

    def _running(self) -> list[Any]:
        return [client for client, server in zip(self.clients, self.servers, strict=True) if server.running]

    def _content(self, client: Any) -> bool:  # noqa: ANN401  as above
        info = client.info("replication")
        copied = info["role"] == "master" or info["master_link_status"] == "up"
        return copied and self._info(client)["cluster_state"] == "ok"

    @staticmethod
    def _info(client: Any) -> dict[str, str]:  # noqa: ANN401  as above
        lines = client.execute_command("CLUSTER", "INFO").decode().split()
        return dict(line.split(":") for line in lines)


def _port_with_a_bus() -> int:
    """Return a free port that leaves room for the one, 10 000 above, where nodes of a cluster talk to each other."""
    while True:
        port = free_port()
        if port + _BUS < 65_536:
            with suppress(OSError), socket.create_server((HOST, port + _BUS)):
                return port
