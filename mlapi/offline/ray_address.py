"""Tells in seconds whether a Ray answers where RAY_ADDRESS says: Ray itself waits for minutes."""

import os
import socket
from collections.abc import Mapping
from typing import Final

from mlapi.offline.base import OfflineError

PATIENCE_S: Final = 5.0

_HELLO: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How a client of HTTP/2, and so of gRPC, begins: the preface and its settings, of which there are none."""

_TYPE: Final = 3
_SETTINGS: Final = 4
"""Where a frame says what it is, and what the first one of a server has to be (RFC 9113, sections 3.4 and 4.1)."""


def check_address(environment: Mapping[str, str] = os.environ, patience_s: float = PATIENCE_S) -> None:
    """Ask the address that RAY_ADDRESS names, if it names one, whether it speaks Ray's protocol.

    Raises:
        OfflineError: nobody answers there, or something else does.
    """
    address = environment.get("RAY_ADDRESS", "")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # none, or one of Ray's own words, such as `auto` and `local`
    encrypted = environment.get("RAY_USE_TLS", "0") not in {"", "0"}
    try:
        with socket.create_connection((host.strip("[]"), int(port)), patience_s) as connection:
            if encrypted:
                return
            connection.settimeout(patience_s)
            connection.sendall(_HELLO)
            answer = connection.recv(_TYPE + 1)
    except (OSError, OverflowError) as error:
        msg = f"no Ray answers at RAY_ADDRESS={address}: {getattr(error, 'strerror', None) or error}"
        raise OfflineError(msg) from error
    if len(answer) <= _TYPE or answer[_TYPE] != _SETTINGS:
        msg = f"what answers at RAY_ADDRESS={address} is no Ray"
        raise OfflineError(msg)
