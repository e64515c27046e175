"""Laboratory results under kills: senders that repeat what was not acknowledged, a listener that dies again and again.

The judge compares what was acknowledged with what is stored: nothing lost, nothing doubled, every value as it was sent.
"""

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import text

from node.failpoints import VARIABLE, Failpoint
from node.store.session import Database
from tests.faults.kills import databases
from tests.faults.processes import HOST, free_port

POINTS: Final = tuple(point for point in Failpoint if point.startswith(("hl7", "clinical")))
SENDERS: Final = 4
READY_WITHIN_S: Final = 60.0
HIT_WITHIN_S: Final = 60.0
_MOST_HITS: Final = 40
_ROOT: Final = Path(__file__).parents[2]


@dataclass
class Node:
    """The listener's process, started again after each death."""

    url: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self, failpoint: str = "") -> subprocess.Popen[bytes]:
        """Start it, with a failpoint when one is named; returns once it listens."""
        environment = os.environ | {
            "CELADON_DATA_DIR": str(self.folder),
            "CELADON_DATABASE_URL": self.url,
            "CELADON_CLINICAL__HL7__PORT": str(self.port),
            "PYTHONPATH": str(_ROOT),
            VARIABLE: failpoint,
        }
        read_end, write_end = os.pipe()
        command = [sys.executable, "-m", "node", "clinical", "listen", "--ready-fd", str(write_end)]
        with (self.folder / "listener.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, pass_fds=(write_end,), stderr=log, cwd=self.folder
            )
        os.close(write_end)
        with os.fdopen(read_end) as announcement:
            assert announcement.readline(), f"the listener did not become ready, see {self.folder}/listener.log"
        return self.process

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)


@dataclass
class Sender:
    """A laboratory system: one message at a time, again until it is acknowledged."""

    name: str
    port: int
    count: int
    pause_s: float = 0.0
    acknowledged: list[tuple[str, str, float]] = field(default_factory=list)
    """Patient, control ID and number of each message that was answered AA."""
    repeats: int = 0
    _peer: socket.socket | None = None

    def run(self) -> None:
        """Send everything."""
        for number in range(self.count):
            control_id = f"{self.name}-{number}"
            patient, value = f"{self.name}-P{number % 97}", 1.0 + number % 1000
            while not self._is_acknowledged(_message(control_id, patient, value), control_id):
                self.repeats += 1
                time.sleep(0.02)
            self.acknowledged.append((patient, control_id, value))
            if self.pause_s:
                time.sleep(self.pause_s)
        self._hang_up()

    def _is_acknowledged(self, content: bytes, control_id: str) -> bool:
        try:
            if self._peer is None:
                self._peer = socket.create_connection((HOST, self.port), timeout=30)
            self._peer.sendall(b"\x0b" + content + b"\x1c\r")
            reply = b""
            while not reply.endswith(b"\x1c\r"):
                if not (chunk := self._peer.recv(4096)):
                    raise ConnectionError
                reply += chunk
        except OSError:
            self._hang_up()
            return False
        return f"MSA|AA|{control_id}|".encode() in reply

    def _hang_up(self) -> None:
        if self._peer is not None:
            self._peer.close()
            self._peer = None


@dataclass(frozen=True)
class Verdict:
    """What is left after the storm."""

    acknowledged: int
    stored_messages: int
    stored_values: int
    lost: int
    doubled: int
    changed: int
    repeats: int
    deaths: dict[str, int]

    @property
    def is_kept(self) -> bool:
        """Whether the promise was kept."""
        return not (self.lost or self.doubled or self.changed) and self.acknowledged == self.stored_messages

    def __str__(self) -> str:
        """One line for the table."""
        deaths = ", ".join(f"{name} {count}" for name, count in self.deaths.items())
        return (
            f"{self.acknowledged} acknowledged, {self.stored_messages} messages and {self.stored_values} values "
            f"stored, {self.repeats} sent again; {self.lost} lost, {self.doubled} doubled, {self.changed} changed; "
            f"deaths: {deaths}"
        )


def storm(folder: Path, url: str, messages: int, kills: int, pause_s: float = 0.0) -> Verdict:
    """Send ``messages`` while the listener dies ``kills`` times, at each failpoint in turn and at random."""
    database = Database(url)
    database.upgrade()
    node = Node(url, folder)
    node.start()
    share = -(-messages // SENDERS)
    senders = [Sender(f"S{number}", node.port, share, pause_s) for number in range(SENDERS)]
    threads = [threading.Thread(target=sender.run, daemon=True) for sender in senders]
    deaths: dict[str, int] = {}
    try:
        for thread in threads:
            thread.start()
        for number in range(kills):
            if not any(thread.is_alive() for thread in threads):
                break
            name = (*POINTS, "at random")[number % (len(POINTS) + 1)]
            if _die(node, name):
                deaths[name] = deaths.get(name, 0) + 1
        node.kill()
        node.start()
        for thread in threads:
            thread.join(600)
        assert not any(thread.is_alive() for thread in threads), "a sender was never done"
        return _judge(database, senders, deaths)
    finally:
        node.kill()
        database.close()


def _die(node: Node, name: str) -> bool:
    node.kill()
    if name == "at random":
        node.start()
        time.sleep(random.uniform(0.0, 0.5))  # noqa: S311 — when, not a secret
        node.kill()
        node.start()
        return True
    process = node.start(f"{name}:kill:{random.randint(1, _MOST_HITS)}")  # noqa: S311 — which hit, not a secret
    with suppress(subprocess.TimeoutExpired):
        process.wait(HIT_WITHIN_S)
    died = process.poll() is not None
    if died:
        node.start()
    return died


def _judge(database: Database, senders: list[Sender], deaths: dict[str, int]) -> Verdict:
    with database.read() as connection:
        messages = connection.execute(text("SELECT control_id, count(*) FROM hl7_messages GROUP BY control_id")).all()
        values = connection.execute(text("SELECT source_id, patient_id, number FROM clinical_values")).all()
    stored: dict[str, list[tuple[str, float]]] = {}
    for control_id, patient, number in values:
        stored.setdefault(control_id, []).append((patient, number))
    sent = {control_id: (patient, value) for one in senders for patient, control_id, value in one.acknowledged}
    return Verdict(
        acknowledged=len(sent),
        stored_messages=len(messages),
        stored_values=len(values),
        lost=sum(control_id not in stored for control_id in sent),
        doubled=sum(len(found) > 1 for found in stored.values()) + sum(count > 1 for _, count in messages),
        changed=sum(found[0] != sent.get(control_id, found[0]) for control_id, found in stored.items()),
        repeats=sum(sender.repeats for sender in senders),
        deaths=deaths,
    )


def _message(control_id: str, patient: str, value: float) -> bytes:
    """A CA19-9 in the dialect of its sender, which is one of four."""
    return _DIALECTS[int(control_id[1]) % len(_DIALECTS)](control_id, patient, value)


def _plain(control_id: str, patient: str, value: float) -> bytes:
    return (
        f"MSH|^~\\&|LAB|HOSP|CELADON|NODE|20240506||ORU^R01|{control_id}|P|2.5.1\r"
        f"PID|1||{patient}^^^HOSP^MR||Doe^Jane||19600101|F\rOBR|1||{control_id}||||20240505\r"
        f"OBX|1|NM|24108-3^CA 19-9^LN||{value}|U/mL|||||F\r"
    ).encode()


def _old(control_id: str, patient: str, value: float) -> bytes:
    """Version 2.3, lines that end as files do, a local code first, text for numbers, the unit's other name."""
    return (
        f"MSH|^~\\&|SYS|KH|CELADON|NODE|202405061200||ORU^R01|{control_id}|P|2.3||||||8859/1\r\n"
        f"PID|||{patient}^^^HOSP^MR~999^^^INS^SS||M\xfcller^Jane||19600101|F\r\n"
        f"OBR|1||{control_id}|||202405050830\r\nNTE|1||Kommentar\r\n"
        f"OBX|1|ST|CA199^CA 19-9^L^24108-3^CA 19-9^LN||{value}|kU/L|0-37||||F|||202405050830\r\n"
    ).encode("iso8859-1")


def _other(control_id: str, patient: str, value: float) -> bytes:
    """Other separators, a structured number, an arbitrary unit with its words."""
    return (
        f"MSH#*@!%#LIS#H#CELADON#NODE#20240506120000+0100##ORU*R01*ORU_R01#{control_id}#P#2.6\r"
        f"PID#1##{patient}***HOSP*MR##Doe*Jane##19600101#F\rOBR#1##{control_id}####20240505083000+0100\r"
        f"OBX#1#SN#24108-3*CA 19-9*LN##*{value}#[IU]/mL*international units*UCUM#####F\r"
    ).encode()


def _asian(control_id: str, patient: str, value: float) -> bytes:
    """GB18030, with a name whose bytes look like separators, and another result beside the one that is asked for."""
    return (
        f"MSH|^~\\&|检验|医院|CELADON|NODE|20240506||ORU^R01|{control_id}|P|2.4||||||GB 18030-2000\r"
        f"PID|1||{patient}^^^HOSP^MR||倈^剕||19600101|F\rOBR|1||{control_id}||||20240505\r"
        f"OBX|1|NM|X1^糖类^L||1|U/mL|||||F\rOBX|2|NM|24108-3^糖类抗原^LN||{value}|U/ml|||||F\r"
    ).encode("gb18030")


_DIALECTS: Final = (_plain, _old, _other, _asian)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="celadon-hl7-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def matrix(engine: str, messages: int, kills: int, show: Callable[[str], None]) -> bool:
    """The storm over one database engine; whether the promise was kept."""
    with _folder() as folder, databases(engine, folder) as new_url:
        (folder / "storm").mkdir()
        began = time.monotonic()
        verdict = storm(folder / "storm", new_url("storm"), messages, kills)
        show(f"{engine}: {verdict}; {time.monotonic() - began:.0f} s")
        return verdict.is_kept and sum(verdict.deaths.values()) > 0
