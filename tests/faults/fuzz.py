"""Fuzzing of a real listener: PDUs and data sets that are broken or mean harm, and a judge of what they leave behind.

``python -m tests.faults.fuzz protocol --cases 20000 --seed 1`` and the same with ``files``. A case follows from the
seed and its number alone. What the listener accepts of the files is decoded in a sandbox, as a worker would.
"""

import argparse
import hashlib
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import psutil
from pydicom.uid import CTImageStorage
from pynetdicom.presentation import PresentationContext, build_context

from node.dicom.messages import file_header
from node.dicom.sandbox import Limits, Sandbox
from node.domain.identifiers import IMPLEMENTATION_CLASS_UID, InstanceUID
from node.errors import Rejected
from node.settings import Settings
from node.store.session import Database
from tests.factories import as_file, ct_slice
from tests.faults.fuzz_files import Case, bases, case, without_header
from tests.faults.fuzz_protocol import stream
from tests.raw_peer import HOST, RawPeer, associate_rq, data_tf, store, store_rq, value

THREADS: Final = 6
BATCH: Final = 500
POOLED: Final = 15
"""Descriptors of the database's pool, five connections with three files each: it fills when it happens to be needed."""
_STEP: Final = 100_000
_CLOSED_WITHIN_S: Final = 20.0
_SETTLE_S: Final = 30.0
_DECODE_WITHIN_S: Final = 10.0
_LARGEST_REQUEST: Final = 4 * 2**20


@dataclass(frozen=True)
class Usage:
    """What the listener uses."""

    rss_mb: float
    threads: int
    descriptors: int


@dataclass
class Verdict:
    """What the judge found. The first five must be nothing."""

    deaths: int = 0
    tracebacks: int = 0
    refused_friends: int = 0
    """C-ECHOs and C-STOREs of a legitimate peer that failed."""
    bad_names: int = 0
    """Stored files whose name is not the hash of their content, or whose preamble is not zeroed."""
    unforeseen: list[str] = field(default_factory=list)
    """Cases that ended otherwise than with an answer, or decoded otherwise than to pixels or a reason."""
    cases: int = 0
    seconds: float = 0.0
    before: Usage | None = None
    most_rss_mb: float = 0.0
    after: Usage | None = None
    stored: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    decoded: dict[str, int] = field(default_factory=dict)

    @property
    def leaked(self) -> int:
        """Threads and descriptors that are there more than before."""
        assert self.before
        assert self.after
        threads = self.after.threads - self.before.threads
        return max(0, threads) + max(0, self.after.descriptors - self.before.descriptors - POOLED)

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        found = (self.deaths, self.tracebacks, self.refused_friends, self.bad_names, self.unforeseen, self.leaked)
        return not any(found)


class Target:
    """A listener as a person starts it, with a database and blobs of its own."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], port: int) -> None:
        """``folder`` holds everything that it writes."""
        self.folder, self.process, self.port = folder, process, port
        self._ps = psutil.Process(process.pid)
        self._friendly = itertools.count()

    def usage(self) -> Usage:
        """What it uses now."""
        with self._ps.oneshot():
            return Usage(self._ps.memory_info().rss / 2**20, self._ps.num_threads(), self._ps.num_fds())

    def settled(self) -> Usage:
        """What it uses once nobody is connected, or is for too long."""
        deadline = time.monotonic() + _SETTLE_S
        while self._connections() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.3)  # a thread ends a moment after its connection
        return self.usage()

    def is_served(self) -> bool:
        """Whether a legitimate peer is: a C-ECHO, and a new image with C-STORE."""
        uid = InstanceUID.derived("friend", str(next(self._friendly)))
        data = without_header(as_file(ct_slice(SOPInstanceUID=uid, series="2.25.7299")))
        try:
            with RawPeer(self.port) as peer:
                good = peer.associate().echo() == 0
                peer.send(store(data, uid=uid))
                good = good and peer.status() == 0
                peer.release()
        except (OSError, AssertionError, EOFError):
            return False
        return good

    def log(self) -> str:
        """What it has written to its standard error."""
        return (self.folder / "listener.log").read_text(errors="replace")

    def blob(self, content: bytes) -> Path:
        """Where a file with this content is kept."""
        digest = hashlib.sha256(content).hexdigest()
        return self.folder / "data" / "blobs" / digest[:2] / digest

    def blobs(self) -> Iterator[Path]:
        """Every stored file."""
        return (path for path in (self.folder / "data" / "blobs").rglob("*") if path.is_file())

    def _connections(self) -> list[object]:
        return [one for one in self._ps.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]


@contextmanager
def listening() -> Iterator[Target]:
    """A listener for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="celadon-fuzz-") as name:
        folder = Path(name)
        config = folder / "celadon.toml"
        config.write_text(f"data_dir = {json.dumps(str(folder / 'data'))}\n[dicom]\nport = 0\nmin_free_gb = 0\n")
        Database(Settings(data_dir=folder / "data").url).upgrade()
        ready, theirs = os.pipe()
        command = [sys.executable, "-m", "node", "listen", "--config", str(config), "--ready-fd", str(theirs)]
        environment = {key: one for key, one in os.environ.items() if not key.startswith("CELADON_")}
        with (folder / "listener.log").open("wb") as log:
            process = subprocess.Popen(command, pass_fds=[theirs], stderr=log, env=environment)
        os.close(theirs)
        try:
            with os.fdopen(ready) as announced:
                port = json.loads(announced.readline())["port"]
            yield Target(folder, process, port)
        finally:
            process.terminate()
            process.wait(60)


def fuzz(kind: str, cases: int, seed: int, *, progress: Callable[[str], None] = lambda _: None) -> Verdict:
    """Send ``cases`` cases of ``kind`` and judge what became of the listener."""
    with listening() as target, _attack(kind, target, seed) as attack:
        verdict = Verdict()
        # What is there once everything has been used: pools and the decoder are no leaks.
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda _: target.is_served(), range(THREADS * 20)))
            list(threads.map(attack, range(-THREADS * 20, 0)))
        attack.forget()
        verdict.before = target.settled()
        begun = time.monotonic()
        with ThreadPoolExecutor(THREADS) as threads:
            for start in range(0, cases, BATCH):
                last = min(start + BATCH, cases)
                verdict.unforeseen += [one for one in threads.map(attack, range(start, last)) if one]
                verdict.cases = last
                verdict.most_rss_mb = max(verdict.most_rss_mb, target.usage().rss_mb)
                verdict.refused_friends += not target.is_served()
                if target.process.poll() is not None:
                    verdict.deaths += 1
                    break
                verdict.seconds = time.monotonic() - begun
                progress(f"{last} cases, {last / verdict.seconds:.0f}/s, {verdict.most_rss_mb:.0f} MB at most")
        attack.end()
        verdict.after = target.settled()
        verdict.answers, verdict.decoded = dict(attack.answers), dict(attack.decoded)
        _judge(target, verdict)
    return verdict


def _judge(target: Target, verdict: Verdict) -> None:
    verdict.tracebacks = target.log().count("Traceback") + target.log().count("INTERNAL")
    for path in target.blobs():
        content = path.read_bytes()
        verdict.stored += 1
        if path.name == ".database":  # says whose blobs these are
            continue
        verdict.bad_names += path.name != hashlib.sha256(content).hexdigest() or any(content[:128])


# ---- the attacks


class _Attack:
    """Sends a case by its number; the answer says what was unforeseen about it."""

    def __init__(self, target: Target, seed: int) -> None:
        """``seed`` and number make the case."""
        self.answers: Counter[str] = Counter()
        self.decoded: Counter[str] = Counter()
        self._target, self._seed = target, seed

    def rng(self, number: int) -> random.Random:
        """What the case is made with."""
        return random.Random(f"{self._seed}:{number}")  # noqa: S311 — cases must be the same each time

    def __call__(self, number: int) -> str:
        """Send case ``number``."""
        raise NotImplementedError

    def forget(self) -> None:
        """Count from now on."""
        self.answers.clear()
        self.decoded.clear()

    def end(self) -> None:
        """Leave."""


class _Protocol(_Attack):
    """One connection a case: everything is sent at once, then the end, and whatever comes back is read."""

    def __call__(self, number: int) -> str:
        """Read to the end of the connection."""
        sent = stream(self.rng(number))
        kinds = Counter[int]()
        try:
            with socket.create_connection((HOST, self._target.port), _CLOSED_WITHIN_S) as connected:
                received = b""
                with suppress(ConnectionError):
                    connected.sendall(sent)
                    connected.shutdown(socket.SHUT_WR)
                    while more := connected.recv(65536):
                        received += more
        except TimeoutError:
            return f"case {number}: the connection is still open"
        except OSError as exc:
            return f"case {number}: {type(exc).__name__}"
        while len(received) >= 6:
            kinds[received[0]] += 1
            received = received[6 + int.from_bytes(received[2:6], "big") :]
        self.answers["+".join(_PDU_NAMES.get(kind, "?") for kind in sorted(kinds)) or "closed"] += 1
        return "" if kinds.keys() <= _PDU_NAMES.keys() else f"case {number}: an answer of no type"


_PDU_NAMES: Final = {2: "accepted", 3: "rejected", 4: "answered", 6: "released", 7: "aborted"}


class _Files(_Attack):
    """C-STOREs over associations that are kept, one a thread; what is accepted is decoded."""

    def __init__(self, target: Target, seed: int) -> None:
        """``seed`` and number make the case."""
        super().__init__(target, seed)
        self._own = threading.local()
        self._peers: list[RawPeer] = []
        self._sandbox = Sandbox(2, Limits(call_s=_DECODE_WITHIN_S))
        made: dict[tuple[str, str], int] = {}
        for one in bases():
            made.setdefault((one.sop_class, one.syntax), 2 * len(made) + 1)
        self._ids = made

    def __call__(self, number: int) -> str:
        """Store, and decode what was stored."""
        made = case(self.rng(number), number % 10**15)
        try:
            status = self._store(made, number)
        except (OSError, EOFError, AssertionError) as exc:
            self._own.peer = None
            if len(made.data) < _LARGEST_REQUEST:
                return f"case {number} ({made.kind}): {type(exc).__name__} {exc}"
            status = None
        self.answers[f"{made.kind}: {'aborted' if status is None else f'0x{status:04X}'}"] += 1
        if status == 0x0110:
            return f"case {number} ({made.kind}): answered 0x0110"
        return self._decode(made, number) if status == 0 else ""

    def forget(self) -> None:
        """Count from now on, over new associations."""
        super().forget()
        self._leave()

    def end(self) -> None:
        """Close the associations and the sandbox."""
        self._leave()
        self._sandbox.close()

    def _leave(self) -> None:
        for peer in self._peers:
            peer.socket.close()
        self._peers.clear()
        self._own = threading.local()

    def _store(self, made: Case, number: int) -> int | None:
        peer = getattr(self._own, "peer", None)
        if peer is None:
            peer = self._own.peer = RawPeer(self._target.port)
            self._peers.append(peer)
            peer.send(associate_rq(contexts=self._contexts()))
            peer.expect(2)
        context = self._ids[made.sop_class, made.syntax]
        command = store_rq(number % 65536, made.uid, made.sop_class)
        parts = [made.data[at : at + _STEP] for at in range(0, max(1, len(made.data)), _STEP)]
        values = [value(context, part, command=False, last=part is parts[-1]) for part in parts]
        peer.send(data_tf(value(context, command)) + b"".join(data_tf(one) for one in values))
        return int(peer.status())

    def _contexts(self) -> list[PresentationContext]:
        contexts = [build_context(sop_class, syntax) for sop_class, syntax in self._ids]
        for context, number in zip(contexts, self._ids.values(), strict=True):
            context.context_id = number
        return contexts

    def _decode(self, made: Case, number: int) -> str:
        header = file_header(made.sop_class, made.uid, made.syntax, IMPLEMENTATION_CLASS_UID)
        path = self._target.blob(header + made.data)
        if not path.is_file():
            return f"case {number} ({made.kind}): was accepted and is not there"
        is_image = made.sop_class == CTImageStorage
        try:
            (self._sandbox.read_hounsfield if is_image else self._sandbox.read_annotation)(path)
        except Rejected as exc:
            self.decoded[f"{made.kind}: {exc.reason}"] += 1
        except Exception as exc:  # noqa: BLE001 — this is what is looked for
            return f"case {number} ({made.kind}): {type(exc).__name__} {exc}"
        else:
            self.decoded[f"{made.kind}: decoded"] += 1
        return ""


_ATTACKS: Final[dict[str, type[_Attack]]] = {"protocol": _Protocol, "files": _Files}


@contextmanager
def _attack(kind: str, target: Target, seed: int) -> Iterator[_Attack]:
    made = _ATTACKS[kind](target, seed)
    try:
        yield made
    finally:
        made.end()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(_ATTACKS))
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    verdict = fuzz(asked.kind, asked.cases, asked.seed, progress=_say)
    for key, one in asdict(verdict).items():
        _say(f"{key:16} {json.dumps(one, indent=2, sort_keys=True) if isinstance(one, dict | list) else one}")
    rate = verdict.cases / max(verdict.seconds, 1e-9)
    _say(f"{asked.kind}: {verdict.cases} cases, {rate:.0f}/s, {verdict.leaked} leaked")
    return 0 if verdict.is_good else 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
