"""The real servers that tests talk to: found, required, and started privately in a folder of their own."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
from sqlalchemy import create_engine, text

Found = TypeVar("Found")

START_WITHIN_S = 30.0


def require(name: str, found: Found | None) -> Found:
    """What was found; else a visible skip with its reason, or a failure where every server must be there (CI)."""
    if found is None:
        missing(name)
    return found


def missing(name: str) -> NoReturn:
    """Skip the test because ``name`` is not installed; fail it in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed, and CI must have it")
    pytest.skip(f"{name} is not installed")


def postgresql_folder() -> Path | None:
    """The folder with ``initdb`` and ``postgres``, which Debian keeps off the PATH; the newest version of several."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    on_path = shutil.which("initdb")
    folders = [*reversed(debian), *([Path(on_path).parent] if on_path else [])]
    return next((folder for folder in folders if (folder / "postgres").exists() and (folder / "initdb").exists()), None)


_PASSABLE = stat.S_IXGRP | stat.S_IXOTH


class PrivatePostgresql:
    """A PostgreSQL of our own on a Unix socket, in a folder that is given."""

    def __init__(self, programs: Path, folder: Path) -> None:
        """Make the cluster and start it."""
        self._programs, self._folder, user = programs, folder, _unprivileged_user()
        if user is not None:
            shutil.chown(folder, user)
        self._quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "user": user, "cwd": folder}
        initdb = ["-U", "celadon", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run([programs / "initdb", "-D", self._data, *initdb], check=True, **self._quiet)
        self.start()

    @property
    def url(self) -> str:
        """The SQLAlchemy URL with ``{}`` where the database's name goes."""
        return f"postgresql+psycopg://celadon@/{{}}?host={self._folder}"

    @property
    def folder(self) -> Path:
        """Where its socket is."""
        return self._folder

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def tablespace(self, folder: Path) -> str:
        """The name of a tablespace in ``folder``, for databases of their own disk."""
        user = _unprivileged_user()
        if user is not None:
            shutil.chown(folder, user)
            for above in folder.parents:
                # A private folder for temporary files keeps the server out, which has that user and our own group.
                if (mode := above.stat().st_mode) & _PASSABLE != _PASSABLE:
                    above.chmod(mode | _PASSABLE)
        engine = create_engine(self.url.format("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE TABLESPACE {folder.name} LOCATION '{folder}'"))
        engine.dispose()
        return folder.name

    def start(self) -> None:
        """Start it; returns once it takes connections."""
        options = ["listen_addresses=", f"unix_socket_directories={self._folder}", "fsync=off", "max_connections=150"]
        flags = [word for option in options for word in ("-c", option)]
        self._process = subprocess.Popen([self._programs / "postgres", "-D", self._data, *flags], **self._quiet)
        _wait_for(self._folder / ".s.PGSQL.5432", self._process)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends the connections, SIGQUIT also leaves recovery to the next start."""
        self._process.send_signal(how)
        self._process.wait(START_WITHIN_S)


@contextmanager
def running_postgresql() -> Iterator[PrivatePostgresql]:
    """A PostgreSQL of our own that can be stopped and started."""
    programs = require("PostgreSQL", postgresql_folder())
    # Not pytest's folder: another user must be able to enter it, and a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="celadon-pg-") as name:
        server = PrivatePostgresql(programs, Path(name))
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def private_postgresql() -> Iterator[str]:
    """A PostgreSQL of our own; gives the SQLAlchemy URL with ``{}`` where the database's name goes."""
    with running_postgresql() as server:
        yield server.url


class PrivateRedis:
    """A Redis of our own on a loopback port, which keeps nothing on disk."""

    def __init__(self, program: str, port: int) -> None:
        """Start it."""
        self._program, self.port = program, port
        self.start()

    @property
    def url(self) -> str:
        """As ``broker_url`` takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it; returns once it takes connections."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen([self._program, *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_WITHIN_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail("Redis did not start")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it, with all that it knew."""
        self.process.kill()
        self.process.wait(START_WITHIN_S)

    def say(self, command: str) -> str:
        """What it answers to a command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(4096).decode().strip()

    def _answers(self) -> bool:
        try:
            return self.say("PING") == "+PONG"
        except OSError:
            return False


@contextmanager
def running_redis() -> Iterator[PrivateRedis]:
    """A Redis of our own that can be killed and started."""
    program = require("Redis", shutil.which("redis-server"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = PrivateRedis(program, port)
    try:
        yield server
    finally:
        server.kill()


class PrivateS3:
    """An S3 server of our own on a loopback port, with one bucket; what it has said to be stored outlives a kill."""

    bucket = "celadon-test"
    access_key = "TESTACCESSKEY"
    secret_key = "not-a-secret-of-anybody"  # noqa: S105 — moto takes any

    def __init__(self, folder: Path, port: int) -> None:
        """Start it; ``folder`` holds what it has."""
        self._folder, self.port = folder, port
        self.start()

    @property
    def endpoint(self) -> str:
        """As ``blobs.s3.endpoint`` takes it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """``blobs.s3`` of a node that keeps its blobs here."""
        keys = {"access_key": self.access_key, "secret_key": self.secret_key}
        return {"bucket": self.bucket, "endpoint": self.endpoint, **keys}

    @property
    def environment(self) -> dict[str, str]:
        """The same in the environment."""
        return {f"CELADON_BLOBS__S3__{name.upper()}": value for name, value in self.settings.items()}

    def start(self) -> None:
        """Start it with what it had; returns once it answers."""
        command = [sys.executable, "-m", "tests.s3_server", str(self.port), self._folder / "journal", self.bucket]
        # Few at a time, so that every longer list has several pages.
        root = {"PYTHONPATH": str(Path(__file__).parents[1]), "MOTO_S3_DEFAULT_MAX_KEYS": "5"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, env=os.environ | root, **quiet)
        deadline = time.monotonic() + START_WITHIN_S
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail("the S3 server did not start")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it, wherever it is."""
        self.process.kill()
        self.process.wait(START_WITHIN_S)


@contextmanager
def running_s3() -> Iterator[PrivateS3]:
    """An S3 server of our own that can be killed and started."""
    require("moto", importlib.util.find_spec("moto"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="celadon-s3-") as folder:
        server = PrivateS3(Path(folder), port)
        try:
            yield server
        finally:
            server.kill()


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root: the user to become, or None when we are nobody special."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _wait_for(socket: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    # The socket is there shortly before connections are taken; the lock beside it says "ready" on its last line.
    lock = socket.with_name(socket.name + ".lock")
    while not (lock.exists() and "ready" in (socket.parent / "data" / "postmaster.pid").read_text()):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail("PostgreSQL did not start")
        time.sleep(0.02)
