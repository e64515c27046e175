"""A thousand hostile peers at once, and what a legitimate one notices of them.

The server runs in a process of its own, so that its memory, threads and descriptors are its own; the hostile peers in a
second one, from seven addresses of the loopback interface; the legitimate peer echoes from an eighth, each time over a
new connection. By hand: ``python -m tests.faults.hostile_peers --help``.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil
import structlog

from node.dicom.tls import Certificates, server_context
from node.dicom.upper_layer import UpperLayerServer
from node.supervisor import LISTENER_MEMORY
from tests.raw_peer import (
    ABORT,
    CT,
    ECHO,
    HOST,
    RawPeer,
    Recorder,
    acceptor,
    associate_rq,
    bytewise,
    data_tf,
    echo_rq,
    pdu,
    store,
    store_rq,
    value,
)

SCRIPT: Final = Path(__file__).parents[2] / "deploy/tls/make-test-certificates.sh"
HOSTILE_HOSTS: Final = tuple(f"127.0.0.{number}" for number in range(2, 9))
ECHO_EVERY_S: Final = 0.02
RECONNECT_AFTER_S: Final = 0.05
SETTLE_S: Final = 90.0
STARTS_WITHIN_S: Final = 60.0
LONGEST_P99_MS: Final = 1000.0
LARGEST_GROWTH_MB: Final = 150.0


@dataclass(frozen=True)
class Usage:
    """What a server process uses."""

    rss_mb: float
    threads: int
    descriptors: int
    cpu_s: float
    connections: int


@dataclass(frozen=True)
class Outcome:
    """What the legitimate peer saw, and what was left of the server."""

    echoes: int
    failed: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    before: Usage
    most_rss_mb: float
    most_connections: int
    after: Usage

    @property
    def is_harmless(self) -> bool:
        """Whether every echo was answered, nearly all within a second, and nothing grew for good."""
        grown_mb = self.most_rss_mb - self.before.rss_mb
        left = (self.after.threads, self.after.descriptors, self.after.connections)
        was = (self.before.threads, self.before.descriptors, 0)
        return not self.failed and self.p99_ms <= LONGEST_P99_MS and grown_mb <= LARGEST_GROWTH_MB and left == was


# ---- the hostile peers


@dataclass
class _Stream:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send, and wait until the server takes it."""
        self.writer.write(data)
        await self.writer.drain()

    async def associate(self) -> None:
        """Have an association, or be rejected: whichever comes."""
        await self.send(associate_rq())
        await self.reader.read(4096)

    async def until_closed(self) -> None:
        """Wait until the server has enough."""
        while await self.reader.read(65536):
            pass


async def _silent(_: _Stream) -> None:
    """Connects, and says nothing."""


async def _partial_header(stream: _Stream) -> None:
    await stream.send(b"\x01\x00\x00")


async def _giant_request(stream: _Stream) -> None:
    await stream.send(struct.pack(">BxI", 1, 0xFFFFFFFF) + bytes(60_000))


async def _noise(stream: _Stream) -> None:
    await stream.send(random.randbytes(5000))  # noqa: S311 — noise


async def _many_items(stream: _Stream) -> None:
    await stream.send(pdu(1, associate_rq()[6:99] + b"\x10\0\0\0" * 15_000))


async def _trickle(stream: _Stream) -> None:
    for byte in bytewise(associate_rq(), 0.0):
        await stream.send(byte)
        await asyncio.sleep(0.5)


async def _giant_data(stream: _Stream) -> None:
    await stream.associate()
    await stream.send(struct.pack(">BxI", 4, 0x7FFFFFFF) + bytes(200_000))


async def _half_object(stream: _Stream) -> None:
    await stream.associate()
    await stream.send(store(bytes(2_000_000), step=200_000)[:-1000])


async def _echo_flood(stream: _Stream) -> None:
    await stream.associate()
    for _ in range(200):
        await stream.send(data_tf(value(ECHO, echo_rq())) * 500)


async def _store_flood(stream: _Stream) -> None:
    await stream.associate()
    for number in range(50):
        await stream.send(store(bytes(500_000), number, step=120_000))


async def _tiny_values(stream: _Stream) -> None:
    await stream.associate()
    await stream.send(data_tf(value(CT, store_rq())))
    for _ in range(500):
        await stream.send(data_tf(*[value(CT, b"12", command=False, last=False)] * 200))


async def _idle(stream: _Stream) -> None:
    await stream.associate()
    await asyncio.sleep(5.0)
    await stream.send(ABORT)


HOSTILITIES: Final[tuple[Callable[[_Stream], Awaitable[None]], ...]] = (
    _silent,
    _partial_header,
    _giant_request,
    _noise,
    _many_items,
    _trickle,
    _giant_data,
    _half_object,
    _echo_flood,
    _store_flood,
    _tiny_values,
    _idle,
)


async def _hostile(number: int, port: int, tls: ssl.SSLContext | None) -> None:
    """One hostile peer, for ever. Over TLS, every third does not shake hands properly."""
    misbehave = HOSTILITIES[number % len(HOSTILITIES)]
    source = (HOSTILE_HOSTS[number % len(HOSTILE_HOSTS)], 0)
    shakes_hands = tls if number // len(HOSTILITIES) % 3 else None
    while True:
        with suppress(OSError, EOFError):
            reader, writer = await asyncio.open_connection(HOST, port, local_addr=source, ssl=shakes_hands)
            try:
                stream = _Stream(reader, writer)
                await misbehave(stream)
                await stream.until_closed()
            finally:
                writer.transport.abort()
        await asyncio.sleep(RECONNECT_AFTER_S)


async def _attack(port: int, count: int, tls: ssl.SSLContext | None) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(_hostile(number, port, tls))


# ---- the server


def _client_context(folder: Path) -> ssl.SSLContext:
    client = ssl.create_default_context(cafile=folder / "ca.pem")
    client.check_hostname = False
    client.load_cert_chain(folder / "peer.pem", folder / "peer.key")
    return client


def _server_context(folder: Path) -> ssl.SSLContext:
    return server_context(Certificates(folder / "node.pem", folder / "node.key", folder / "ca.pem"))


def _serve(certificates: Path | None) -> None:
    """Serve until the end of the standard input; one line of it is one question about what is used."""
    # Faults are logged, one line each; here they would only measure the terminal.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=Path("/dev/null").open("w")))  # noqa: SIM115
    user = Recorder()
    user.stored = _Forgetful()
    user.ended = _Forgetful()
    server = UpperLayerServer(acceptor(), user, tls=_server_context(certificates) if certificates else None)
    server.start(HOST, 0)
    _say(str(server.port))
    process = psutil.Process()
    for _ in sys.stdin:
        times = process.cpu_times()
        used = Usage(
            rss_mb=process.memory_info().rss / 2**20,
            threads=threading.active_count(),
            descriptors=process.num_fds(),
            cpu_s=times.user + times.system,
            connections=server.connection_count,
        )
        _say(json.dumps(asdict(used)))
    server.stop(0.0)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class _Forgetful(list):  # type: ignore[type-arg]
    """A list that keeps nothing: what is measured must be the server's memory."""

    def append(self, _: object) -> None:
        """Forget."""


class Served:
    """A server in a process of its own."""

    def __init__(self, certificates: Path | None) -> None:
        """Start it."""
        command = [sys.executable, "-m", __spec__.name, "serve", *([str(certificates)] if certificates else [])]
        memory = {**dict(LISTENER_MEMORY), **os.environ}  # as the supervisor starts it
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=memory)
        self.port = int(self._line())

    def usage(self) -> Usage:
        """What it uses now."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return Usage(**json.loads(self._line()))

    def stop(self) -> int:
        """End it; its exit code."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(60)

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()


# ---- the legitimate peer


def _echo(port: int, tls: ssl.SSLContext | None) -> float | None:
    """Seconds that connection, association, C-ECHO and release took together; None when they failed."""
    begun = time.perf_counter()
    try:
        with RawPeer(port, tls=tls) as peer:
            if peer.associate().echo() != 0:
                return None
            peer.release()
    except (OSError, AssertionError, EOFError):
        return None
    return time.perf_counter() - begun


def run(peers: int, seconds: float, certificates: Path | None = None) -> Outcome:
    """``peers`` hostile peers for ``seconds``, over TLS when there are certificates."""
    tls = _client_context(certificates) if certificates else None
    server = Served(certificates)
    arguments = ["attack", str(server.port), str(peers), *([str(certificates)] if certificates else [])]
    try:
        for _ in range(5):
            _echo(server.port, tls)
        before = _settled(server)
        attackers = subprocess.Popen([sys.executable, "-m", __spec__.name, *arguments])
        try:
            _attacked(server, attackers)
            latencies, most = _measure(server, seconds, tls)
        finally:
            attackers.kill()
            attackers.wait()
        after = _settled(server)
    finally:
        exit_code = server.stop()
    assert exit_code == 0, "the server did not end as it should"
    return _outcome(latencies, before, most, after)


def _attacked(server: Served, attackers: subprocess.Popen[bytes]) -> None:
    """Wait for the first of them: a machine that is busy starts a process slowly."""
    deadline = time.monotonic() + STARTS_WITHIN_S
    while server.usage().connections == 0:
        assert attackers.poll() is None, "the attackers ended"
        assert time.monotonic() < deadline, "nobody attacked"
        time.sleep(0.05)


def _measure(
    server: Served, seconds: float, tls: ssl.SSLContext | None
) -> tuple[list[float | None], tuple[float, int]]:
    latencies: list[float | None] = []
    most_rss, most_connections = 0.0, 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        latencies.append(_echo(server.port, tls))
        if len(latencies) % 5 == 0:
            used = server.usage()
            most_rss, most_connections = max(most_rss, used.rss_mb), max(most_connections, used.connections)
        time.sleep(ECHO_EVERY_S)
    return latencies, (most_rss, most_connections)


def _settled(server: Served) -> Usage:
    """What is used once all connections are gone, or are not for too long."""
    deadline = time.monotonic() + SETTLE_S
    while server.usage().connections and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(0.2)  # a thread ends a moment after its connection
    return server.usage()


def _outcome(latencies: list[float | None], before: Usage, most: tuple[float, int], after: Usage) -> Outcome:
    good = [one for one in latencies if one is not None]
    percentiles = statistics.quantiles(good, n=100, method="inclusive")
    return Outcome(
        echoes=len(latencies),
        failed=len(latencies) - len(good),
        p50_ms=percentiles[49] * 1e3,
        p99_ms=percentiles[98] * 1e3,
        worst_ms=max(good) * 1e3,
        before=before,
        most_rss_mb=most[0],
        most_connections=most[1],
        after=after,
    )


def make_certificates(folder: Path) -> Path:
    """Test certificates, as the documentation says."""
    subprocess.run(["sh", SCRIPT, folder], check=True, capture_output=True)
    return folder


def _matrix(peers: int, seconds: float) -> bool:
    """Plain and TLS, printed; whether a legitimate peer was served in time and nothing was left behind."""
    kept = True
    folder = Path(tempfile.mkdtemp(prefix="celadon-tls-"))
    try:
        for name, certificates in (("plain", None), ("TLS", make_certificates(folder))):
            outcome = run(peers, seconds, certificates)
            _say(f"{name}: {peers} hostile peers, {seconds:g} s")
            for key, one in asdict(outcome).items():
                _say(f"  {key:18} {one:.1f}" if isinstance(one, float) else f"  {key:18} {one}")
            kept = kept and outcome.is_harmless
    finally:
        shutil.rmtree(folder)
    return kept


def main() -> int:
    """The command line; ``serve`` and ``attack`` are the processes that the matrix starts."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command")
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    serve, attack = commands.add_parser("serve"), commands.add_parser("attack")
    serve.add_argument("certificates", type=Path, nargs="?")
    attack.add_argument("port", type=int)
    attack.add_argument("count", type=int)
    attack.add_argument("certificates", type=Path, nargs="?")
    asked = parser.parse_args()
    match asked.command:
        case "serve":
            _serve(asked.certificates)
        case "attack":
            tls = _client_context(asked.certificates) if asked.certificates else None
            asyncio.run(_attack(asked.port, asked.count, tls))
        case _:
            return 0 if _matrix(asked.peers, asked.seconds) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
