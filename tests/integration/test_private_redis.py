"""The private Redis: a real server, and a command that runs with one."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import private_redis
from tools.private_redis import PrivateRedis, StartError

ROOT = Path(__file__).parents[2]
UNSET = {name: text for name, text in os.environ.items() if name != private_redis.URL_VARIABLE}


def ping(port: int) -> bytes:
    """Return the answer to PING, or nothing where nobody listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100)
    except ConnectionError:
        return b""


def start(*command: str, environment: dict[str, str] = UNSET) -> "subprocess.Popen[str]":
    """Run the tool with a command."""
    return subprocess.Popen(
        [sys.executable, "-m", "tools.private_redis", *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*command: str, environment: dict[str, str] = UNSET) -> tuple[int, str, str]:
    """Run the tool with a command to its end, and return its exit code and what was written."""
    with start(*command, environment=environment) as process:
        output, errors = process.communicate(timeout=30)
        return process.returncode, output, errors


def gone(port: int) -> bool:
    """Wait until nobody listens any more, for ten seconds at most."""
    give_up_at = time.monotonic() + 10
    while ping(port):
        if time.monotonic() > give_up_at:
            return False
    return True


@pytest.mark.usefixtures("redis_process")
class TestServer:
    def test_servers_have_ports_of_their_own_and_end_with_their_block(self) -> None:
        with PrivateRedis() as one, PrivateRedis() as other:
            assert one.port != other.port
            assert (ping(one.port), ping(other.port)) == (b"+PONG\r\n", b"+PONG\r\n")
        assert (ping(one.port), ping(other.port)) == (b"", b"")

    def test_a_port_that_is_taken_is_left_to_its_owner(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with PrivateRedis() as owner:
            free = private_redis.free_port
            ports = iter([owner.port, free()])
            monkeypatch.setattr(private_redis, "free_port", lambda: next(ports))
            with PrivateRedis() as other:
                assert other.port != owner.port
            assert ping(owner.port) == b"+PONG\r\n"

    def test_it_comes_back_empty_on_the_same_port(self) -> None:
        with PrivateRedis() as server:
            url = server.url
            server.kill()
            assert not server.running
            assert ping(server.port) == b""
            server.restart()
            assert server.url == url
            assert ping(server.port) == b"+PONG\r\n"

    def test_paused_it_says_nothing_until_it_is_resumed(self) -> None:
        with PrivateRedis() as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
            server.pause()
            connection.sendall(b"PING\r\n")
            connection.settimeout(0.05)
            with pytest.raises(TimeoutError):
                connection.recv(100)
            server.resume()
            connection.settimeout(5)
            assert connection.recv(100) == b"+PONG\r\n"

    def test_a_paused_server_can_be_stopped(self) -> None:
        with PrivateRedis() as server:
            server.pause()
        assert not server.running


def test_a_machine_without_a_server_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_redis, "find_server", lambda: None)
    with pytest.raises(StartError, match="no redis-server found"):
        PrivateRedis()


def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho cannot load\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(private_redis, "find_server", lambda: broken)
    with pytest.raises(StartError, match="did not start: cannot load"):
        PrivateRedis()


def test_the_server_on_the_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = tmp_path / "redis-server"
    server.write_text("")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert private_redis.find_server() == server


@pytest.mark.usefixtures("redis_process")
class TestCommand:
    def test_the_command_finds_a_live_redis_that_ends_with_it(self) -> None:
        with start("--", "sh", "-c", "echo $MLAPI_REDIS_URL; exec sleep 1000") as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            port = int(url.removeprefix("redis://127.0.0.1:").removesuffix("/0"))
            assert ping(port) == b"+PONG\r\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 128 + signal.SIGTERM
            assert gone(port)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signals_reach_the_command_and_its_own_exit_code_counts(self, number: signal.Signals) -> None:
        script = f"trap 'exit 5' {number.name.removeprefix('SIG')}; echo up; while :; do sleep 0.01; done"
        with start("--", "sh", "-c", script) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            process.send_signal(number)
            assert process.wait(10) == 5

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
    def test_redis_and_command_end_even_if_the_tool_is_killed(self) -> None:
        with start("--", "sh", "-c", "echo $MLAPI_REDIS_URL; exec sleep 1000") as process:
            assert process.stdout is not None
            port = int(process.stdout.readline().removeprefix("redis://127.0.0.1:").removesuffix("/0\n"))
            process.kill()
            assert gone(port)
            # The pipe ends when the last process that writes to it has.
            assert process.stdout.read() == ""


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_the_exit_code_is_the_command_s_own(script: str, code: int) -> None:
    assert run("--", "sh", "-c", script)[0] == code


def test_a_variable_that_is_set_is_left_alone_even_if_to_nothing() -> None:
    for url in ("", "redis://elsewhere:6379/0"):
        environment = UNSET | {private_redis.URL_VARIABLE: url}
        assert run("--", "sh", "-c", "echo $MLAPI_REDIS_URL", environment=environment) == (0, f"{url}\n", "")


def test_without_a_server_the_command_runs_without_redis() -> None:
    script = (
        "import sys; from tools import private_redis; private_redis.find_server = lambda: None;"
        "sys.exit(private_redis.run(['sh', '-c', 'echo [$MLAPI_REDIS_URL]; exit 3']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=UNSET, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "[]\n")
    assert done.stderr == "no redis-server found: serving with the in-process cache only\n"


def test_a_command_that_does_not_exist_and_none_at_all_are_errors() -> None:
    code, _, errors = run("--", "no-such-command")
    assert (code, errors.splitlines()[-1]) == (127, "no-such-command: No such file or directory")
    code, _, errors = run("--")
    assert (code, errors) == (2, "usage: python -m tools.private_redis -- COMMAND…\n")
