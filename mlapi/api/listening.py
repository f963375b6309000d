"""Opens the sockets that the service listens on, and names the addresses that reach them."""

import socket
from collections.abc import Iterable
from typing import Final

EVERYWHERE: Final = "::"
"""The host that stands for every address of this machine, of both families."""

_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  to be told from others, not to be bound


def bind_everywhere(port: int, *, dual_stack: bool) -> socket.socket:
    """Return a socket that is bound to every address, and does not listen yet.

    Args:
        port: 0 picks a free one.
        dual_stack: whether the kernel has IPv6 sockets that take IPv4 connections too (RFC 3493, section 3.7); without
            them the socket is IPv4's. See `socket.has_dualstack_ipv6`.

    Raises:
        OSError: the port is taken, or not for this user.
    """
    bound = socket.socket(socket.AF_INET6 if dual_stack else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if dual_stack:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind((EVERYWHERE if dual_stack else "", port))
    except OSError:
        bound.close()
        raise
    return bound


def addresses(listeners: Iterable[socket.SocketType]) -> list[str]:
    """Return a URL for each address by which somebody on this machine reaches these sockets."""
    found = []
    for listener in listeners:
        host, port = listener.getsockname()[:2]
        hosts = [_WILDCARDS.get(host, host)]
        if host == EVERYWHERE and not listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
            hosts.insert(0, "127.0.0.1")
        found += [f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}" for host in hosts]
    return found


def plain_address(address: str) -> str:
    """Return an IPv4 address for one that is written as IPv6 (RFC 4291, section 2.5.5.2), others as they are.

    This is how a socket of both families names those who come by IPv4: they are the same callers by either name.
    """
    prefix, mapped, rest = address.partition("::ffff:")
    return rest if mapped and not prefix and "." in rest else address
