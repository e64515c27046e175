"""The order of durability, seen from outside: a listener's system calls, written down by strace while it stores images.

Before each C-STORE response with status 0x0000 leaves, the part file of its object is synced, then renamed, then its
directory synced, and then the database's log.
"""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from sqlalchemy import select

from node.domain.identifiers import SeriesUID
from node.store.session import Database
from node.store.tables import instances
from tests.factories import ct_slices, write
from tests.faults.judge import Archive, Sender
from tests.faults.processes import Site
from tests.servers import require

IMAGES: Final = 6
_CALLS: Final = "fsync,fdatasync,rename,renameat,renameat2,sendto,sendmsg,write"
_LINE: Final = re.compile(r"^(\d+) +(.*)$")
_RESUMED: Final = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
_SYNC: Final = re.compile(r"^f(?:data)?sync\(\d+<([^>]*)>\) += 0")
_RENAME: Final = re.compile(r'^rename(?:at2?)?\(.*?"([^"]*)",.*?"([^"]*)".*\) += 0')
_SEND: Final = re.compile(r'^(?:sendto|write|sendmsg)\(\d+<TCP:\[.*?\]>, [^"]*"((?:\\x[0-9a-f]{2})+)"')
_P_DATA_TF: Final = 0x04  # PS3.8 table 9-22
_STATUS: Final = struct.pack("<HHI", 0x0000, 0x0900, 2)
_INSTANCE_UID: Final = struct.pack("<HH", 0x0000, 0x1000)
_RESPONSE_TO_STORE: Final = struct.pack("<HHIH", 0x0000, 0x0100, 2, 0x8001)


@dataclass(frozen=True)
class Event:
    """Something that a listener asked of the system, once it was done; a send, when it was begun."""

    kind: str
    """``sync``, ``rename`` or ``success``."""
    name: str
    """The path, or for a rename the new one; the SOP Instance UID of a response."""


def trace(folder: Path, images: int = IMAGES) -> tuple[list[Event], dict[str, str]]:
    """What a listener did while it was sent ``images``, in order; and the digest of each instance that is stored."""
    strace = require("strace", shutil.which("strace"))
    with Archive() as archive:
        site = Site(folder / "node", f"sqlite:///{folder / 'node' / 'celadon.db'}", archive.peer)
        sender = Sender(site, "strace")
        paths = write(ct_slices(images, series=SeriesUID.derived("strace")), folder / "sent")
        log = folder / "strace.txt"
        read_end, write_end = os.pipe()
        command = [strace, "-f", "-yy", "-xx", "-s", "1000", "-e", f"trace={_CALLS}", "-o", log, sys.executable]
        process = subprocess.Popen(
            [*command, "-m", "node", "listen", "--ready-fd", str(write_end)],
            env=os.environ | site.environment,
            pass_fds=(write_end,),
            stderr=subprocess.DEVNULL,
        )
        os.close(write_end)
        with os.fdopen(read_end) as ready:
            assert json.loads(ready.readline())["port"] == site.port
        try:
            assert sender.send(paths) == []
        finally:
            # strace itself does not heed signals while what it watches lives.
            for child in psutil.Process(process.pid).children():
                child.terminate()
            process.wait(30)
    with Database(site.url).read() as connection:
        stored = {row.sop_instance_uid: row.sha256 for row in connection.execute(select(instances))}
    return list(events(log.read_text().splitlines())), stored


def events(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a log of strace's."""
    begun: dict[str, str] = {}
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue
        thread, call = match.groups()
        # What is sent counts from when the call begins; what is synced, from when it has come back.
        if sent := _SEND.match(call):
            yield from _success(_bytes(sent.group(1)))
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>").rstrip()
            continue
        if resumed := _RESUMED.match(call):
            call = begun.pop(thread, "") + resumed.group(2)
        if synced := _SYNC.match(call):
            yield Event("sync", _bytes(synced.group(1)).decode())
        elif renamed := _RENAME.match(call):
            yield Event("rename", _bytes(renamed.group(2)).decode())


def violations(seen: list[Event], stored: dict[str, str]) -> list[str]:
    """What left too early, in words; nothing when the order was kept."""
    found = []
    for place, event in enumerate(seen):
        if event.kind == "success":
            missing = _first_missing(seen[:place], stored.get(event.name, "nothing"))
            found += [f"0x0000 for {event.name} left before: {missing}"] if missing else []
    return found


def matrix(images: int, say: Callable[[str], None]) -> bool:
    """Print what was seen; whether every success came after its syncs."""
    with tempfile.TemporaryDirectory(prefix="celadon-strace-") as folder:
        seen, stored = trace(Path(folder), images)
    found = violations(seen, stored)
    kinds = Counter(event.kind for event in seen)
    say(
        f"{kinds['success']} responses 0x0000, {kinds['sync']} syncs, {kinds['rename']} renames, {len(found)} too early"
    )
    for one in found:
        say(f"    {one}")
    return not found and kinds["success"] == images


def _first_missing(before: list[Event], digest: str) -> str:
    """The first of the steps that did not happen in order, or nothing."""
    steps = (
        ("sync of the part file", "sync", re.compile(rf"/{digest}\.[0-9a-f]+\.part$")),
        ("rename", "rename", re.compile(rf"/{digest}$")),
        ("sync of the directory", "sync", re.compile(rf"/blobs/{digest[:2]}$")),
        ("sync of the database's log", "sync", re.compile(r"/celadon\.db-wal$")),
    )
    left = iter(before)
    for words, kind, name in steps:
        if not any(event.kind == kind and name.search(event.name) for event in left):
            return words
    return ""


def _success(pdu: bytes) -> Iterator[Event]:
    """The event of a P-DATA-TF PDU that holds a successful C-STORE response (PS3.7 section 9.3.1.2)."""
    if pdu[:1] != bytes([_P_DATA_TF]) or _RESPONSE_TO_STORE not in pdu:
        return
    at = pdu.index(_STATUS) + len(_STATUS)
    if struct.unpack_from("<H", pdu, at) == (0,):
        at = pdu.rindex(_INSTANCE_UID) + len(_INSTANCE_UID)
        (length,) = struct.unpack_from("<I", pdu, at)
        yield Event("success", pdu[at + 4 : at + 4 + length].decode().rstrip("\0 "))


def _bytes(text: str) -> bytes:
    """A string as strace writes it: each byte in hexadecimal; the names of descriptors, in older versions, plain."""
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()
