"""A host of its own for a process: a network namespace, joined by a pair of virtual Ethernet devices that can be cut.

Its process leaves the network that it was started in and waits until it is joined to the new one (``leave``). What it
talks to is on this side of the link: a server that listens elsewhere is passed on to by a ``Relay``.
https://man7.org/linux/man-pages/man7/network_namespaces.7.html
"""

import ctypes
import itertools
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

MEETING: Final = "CELADON_FAULTS_MEETING"
"""The variable that has a process leave the network: a file, beside which it says where it is."""
_NEW_NETWORK: Final = 0x40000000
"""CLONE_NEWNET of sched.h."""
_JOINED_WITHIN_S: Final = 30.0
_CHUNK: Final = 65_536
_numbers = itertools.count()


def leave(environment: Mapping[str, str]) -> None:
    """Leave the network, where ``environment`` says so; returns once somebody has joined this process to another."""
    if not (meeting := environment.get(MEETING)):
        return
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "unshare")
    Path(meeting).unlink(missing_ok=True)
    Path(f"{meeting}.left").write_text(str(os.getpid()), encoding="ascii")
    deadline = time.monotonic() + _JOINED_WITHIN_S
    while not Path(meeting).exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def why_not() -> str:
    """Why no host can be made here; empty where one can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if shutil.which("ip") is None or shutil.which("nsenter") is None:
        return "ip and nsenter (iproute2, util-linux) are not installed"
    tried = subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True)
    return "" if tried.returncode == 0 else "this system allows no network namespaces"


class Link:
    """A pair of virtual Ethernet devices between here and the namespace of a process."""

    def __init__(self) -> None:
        """Not made yet; the addresses are those of a network for two of its own."""
        number = next(_numbers)
        self._name = f"cel{os.getpid() % 100_000}n{number}"[:15]
        network = f"10.{200 + number % 50}.{os.getpid() % 250}"
        self.here, self._there = f"{network}.1", f"{network}.2"
        _run("ip", "link", "add", self._name, "type", "veth", "peer", "name", f"{self._name[:-1]}x")
        _run("ip", "addr", "add", f"{self.here}/30", "dev", self._name)
        _run("ip", "link", "set", self._name, "up")

    def join(self, pid: int) -> None:
        """Put the other end into the namespace of a process."""
        end = f"{self._name[:-1]}x"
        inside = ("nsenter", "-t", str(pid), "-n", "ip")
        _run("ip", "link", "set", end, "netns", str(pid))
        _run(*inside, "addr", "add", f"{self._there}/30", "dev", end)
        _run(*inside, "link", "set", end, "up")
        _run(*inside, "link", "set", "lo", "up")

    def cut(self) -> None:
        """From now on nothing passes, and nobody is told."""
        _run("ip", "link", "set", self._name, "down")

    def mend(self) -> None:
        """Everything passes again."""
        _run("ip", "link", "set", self._name, "up")

    def remove(self) -> None:
        """Both ends are gone, unless they went with the namespace."""
        subprocess.run(["ip", "link", "del", self._name], check=False, capture_output=True)


class Relay:
    """Passes connections on to a server that listens elsewhere on this side: a port, or a Unix socket."""

    def __init__(self, host: str, target: tuple[str, int] | str) -> None:
        """Listen on a free port of ``host``."""
        self._target = target
        self._listening = socket.create_server((host, 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def close(self) -> None:
        """Take no more connections; those that there are end with their ends."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                try:
                    far = _connected(self._target)
                except OSError:
                    near.close()
                    continue
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(one, other), name="relay", daemon=True).start()


def _connected(target: tuple[str, int] | str) -> socket.socket:
    if not isinstance(target, str):
        return socket.create_connection(target)
    made = socket.socket(socket.AF_UNIX)
    made.connect(target)
    return made


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while got := source.recv(_CHUNK):
            sink.sendall(got)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
