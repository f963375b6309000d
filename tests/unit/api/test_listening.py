"""The default host is every address of both families; any other is itself."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from mlapi.api.listening import addresses, bind_everywhere, plain_address


@pytest.fixture(params=[True, False], ids=["both families", "a kernel without IPv6"])
def bound(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with closing(bind_everywhere(0, dual_stack=request.param)) as bound:
        yield bound


def test_a_bound_socket_takes_nobody_before_it_listens_and_everybody_after(bound: socket.socket) -> None:
    port = bound.getsockname()[1]
    hosts = {"127.0.0.1"} | ({"::1"} if bound.family == socket.AF_INET6 else set())
    for host in hosts:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, port), timeout=5)
    bound.listen()
    for host in hosts:
        with socket.create_connection((host, port), timeout=5) as client, bound.accept()[0] as server:
            assert plain_address(server.getpeername()[0]) == host
            client.sendall(b"x")
            assert server.recv(1) == b"x"


def test_its_addresses_can_be_opened(bound: socket.socket) -> None:
    port = bound.getsockname()[1]
    expected = [f"http://127.0.0.1:{port}"] + ([f"http://[::1]:{port}"] if bound.family == socket.AF_INET6 else [])
    assert addresses([bound]) == expected


def test_a_taken_port_is_an_error_of_either_family() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for dual_stack in (True, False):
            with pytest.raises(OSError, match="in use"):
                bind_everywhere(taken.getsockname()[1], dual_stack=dual_stack)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_explicit_address_is_named_as_it_is(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        assert addresses([listener]) == [f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"]


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::ffff:1", "2001:db8::ffff:1"),
        ("2001:db8::ffff:192.0.2.7", "2001:db8::ffff:192.0.2.7"),
        ("::1", "::1"),
        ("::ffff:0:1", "::ffff:0:1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("", ""),
    ],
)
def test_a_caller_by_ipv4_has_one_name(address: str, plain: str) -> None:
    assert plain_address(address) == plain
