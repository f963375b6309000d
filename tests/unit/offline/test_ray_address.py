"""An address at which no Ray answers is refused in seconds."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mlapi.offline.base import OfflineError
from mlapi.offline.ray_address import check_address

SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@contextmanager
def answering(said: bytes | None) -> Iterator[int]:
    """Listen on a port: None never answers, else what is said to the first that connects; then the connection ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(64)
                connection.sendall(said or b"")

        thread = threading.Thread(target=serve, daemon=True)
        if said is not None:
            thread.start()
        yield listener.getsockname()[1]
        if said is not None:
            thread.join(5)


def check(address: str, **settings: str) -> None:
    check_address({"RAY_ADDRESS": address} | settings, patience_s=0.2)


@pytest.mark.parametrize("address", ["", "auto", "local", "nonsense"])
def test_what_is_no_address_is_left_to_ray(address: str) -> None:
    check(address)
    check_address({})


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "localhost:{}"])
def test_what_speaks_http_2_is_taken_for_ray(form: str) -> None:
    with answering(SETTINGS) as port:
        check(form.format(port))


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OfflineError, match=f"no Ray answers at RAY_ADDRESS=127.0.0.1:{port}: Connection refused"):
        check(f"127.0.0.1:{port}")
    with pytest.raises(OfflineError, match="no Ray answers"):
        check("127.0.0.1:99999999")


def test_one_that_listens_and_is_silent() -> None:
    with answering(None) as port, pytest.raises(OfflineError, match=r"no Ray answers .* timed out"):
        check(f"127.0.0.1:{port}")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["hangs up", "a server for HTTP/1.1"])
def test_something_else_answers(said: bytes) -> None:
    with answering(said) as port, pytest.raises(OfflineError, match=f"what answers at RAY_ADDRESS=127.0.0.1:{port} is"):
        check(f"127.0.0.1:{port}")


def test_of_an_encrypted_ray_the_connection_is_enough() -> None:
    with answering(None) as port:
        check(f"127.0.0.1:{port}", RAY_USE_TLS="1")
