"""The page under load, and the listener beside it: wrk asks for the worklist of 100,000 cases while images come in.

The page and the listener are processes of their own over one SQLite file, as ``celadon up`` starts them. Rounds with
and without load take turns: the same echo, the same image sizes, one association. wrk asks again as soon as it is
answered, which takes every cycle that the listener leaves: the ratios are those of a page that is flooded.

An image that is not stored is sent again, as a PACS does, and told with its status: the listener may ask to be asked
again, and may lose nothing.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from node.dicom.peer import Peer
from node.dicom.sending import SendResult, echo, send_files
from node.domain.access import Role
from node.domain.identifiers import AeTitle
from node.domain.lifecycle import DeliveryState
from node.settings import read_settings
from node.store.tables import instances
from node.stores import Stores
from tests.bench.intake import ENVIRONMENT, _free_port, _running, _series
from tests.page import HASHED, many, open_page

CASES: Final = 100_000
CONNECTIONS: Final = 4
SECONDS: Final = 10
ROUNDS: Final = 3
ECHOES: Final = 20
AGAIN: Final = 5
"""How often an image that was put off is sent again."""
IMAGES: Final = 60
LIMIT_MS: Final = 200.0
_LOOPBACK: Final = "127.0.0.1"
_UNITS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0}
PATHS: Final = {"the worklist": "/", "the API": "/api/v1/jobs"}


@dataclass
class Intake:
    """Times in milliseconds."""

    echoes: list[float] = field(default_factory=list)
    images: list[float] = field(default_factory=list)
    put_off: list[str] = field(default_factory=list)
    """For each answer that was not "stored": what it was."""
    sent: int = 0
    """Images, each once however often it was sent."""


def worklist() -> None:
    """p50 and p99 of the worklist by wrk, and what the listener does meanwhile."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="celadon-bench-") as name:
        folder = Path(name)
        page = open_page(folder / "data", requests_per_minute=10**9)
        page.stores.users.add("bench", HASHED, Role.ADMIN)
        token = page.stores.users.add_token("bench", "bench", 1)
        many(page, CASES)
        page.stores.database.close()
        config, port = folder / "celadon.toml", _free_port()
        config.write_text(
            f'data_dir = "{folder / "data"}"\n[dicom]\nport = {port}\nmin_free_gb = 0\n'
            "[web]\nport = 0\nrequests_per_minute = 1000000000\n"
        )
        command = [sys.executable, "-m", "node", "listen", "--config", str(config)]
        peer = Peer(AeTitle("CELADON"), _LOOPBACK, port)
        with (folder / "log").open("wb") as log, _serving(config) as url:
            for listening in _running(command, peer, log.fileno()):
                asked, taken = _measure(wrk, url, token, listening, folder / "series")
        _print(asked, taken, _kept(config))
        _print_complaints(folder / "log")


@contextmanager
def _serving(config: Path) -> Iterator[str]:
    ready, theirs = os.pipe()
    command = [sys.executable, "-m", "node", "web", "--config", str(config), "--ready-fd", str(theirs)]
    with config.with_suffix(".web.log").open("wb") as log:
        process = subprocess.Popen(command, pass_fds=(theirs,), stdout=log, stderr=log, env=ENVIRONMENT)
    os.close(theirs)
    try:
        with os.fdopen(ready) as announcement:
            yield f"http://{_LOOPBACK}:{json.loads(announcement.readline())['web']}"
    finally:
        process.terminate()
        process.wait(20)


def _measure(
    wrk: str, url: str, token: str, peer: Peer, folder: Path
) -> tuple[dict[str, list[dict[str, float]]], dict[bool, Intake]]:
    asked: dict[str, list[dict[str, float]]] = {what: [] for what in PATHS}
    taken = {False: Intake(), True: Intake()}
    number = 0
    for _ in range(ROUNDS):
        for what, path in PATHS.items():
            for is_loaded in (False, True):
                number += 1
                images = _series(folder, 900 + number)[:IMAGES]
                load = _start(wrk, url + path, token) if is_loaded else None
                time.sleep(1.0)
                _take(peer, images, taken[is_loaded])
                if load is not None:
                    asked[what].append(_latencies(load.communicate()[0]))
    return asked, taken


def _start(wrk: str, url: str, token: str) -> "subprocess.Popen[str]":
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--timeout", "10s", "--latency"]
    header = ["-H", f"Authorization: Bearer {token}", url]
    return subprocess.Popen([*command, *header], stdout=subprocess.PIPE, text=True)


def _take(peer: Peer, images: list[Path], found: Intake) -> None:
    for _ in range(ECHOES):
        started = time.perf_counter()
        echo(peer, "BENCH")
        found.echoes.append(1000 * (time.perf_counter() - started))
    started = time.perf_counter()
    results = send_files(images, peer, "BENCH")
    found.images.append(1000 * (time.perf_counter() - started) / len(images))
    found.sent += len(images)
    for _ in range(AGAIN):
        late = [one for one in results if not one.is_stored]
        found.put_off += [_words(one) for one in late]
        if not late or any(one.state is DeliveryState.FAILED for one in late):
            break
        time.sleep(1.0)
        results = send_files([one.path for one in late], peer, "BENCH")
    if refused := [_words(one) for one in results if not one.is_stored]:
        raise SystemExit(f"{len(refused)} of {len(images)} images were refused for good: {Counter(refused)}")


def _words(result: SendResult) -> str:
    status = "no status" if result.status is None else f"0x{result.status:04X}"
    return f"{status}, {result.detail}"


def _kept(config: Path) -> int:
    """Images that the database has, each with its bytes."""
    stores = Stores.open(read_settings(config))
    with stores.database.read() as connection:
        digests = connection.scalars(select(instances.c.sha256)).all()
    return sum(stores.blobs.path_of(digest).is_file() for digest in digests)


def _print_complaints(log: Path) -> None:
    """What the listener has said of itself that was no news but trouble."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    troubles = Counter(
        f"{line['event']} {line.get('reason', '')} {line.get('error', '')}".strip()
        for line in lines
        if line.get("level") in ("warning", "error")
    )
    for words, count in troubles.most_common():
        Console().print(f"listener: {count} times: {words}", markup=False)


def _latencies(output: str) -> dict[str, float]:
    """What wrk says of its percentiles, in ms, and how many requests a second it had answered; SystemExit on errors."""
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(output)
    found = {
        f"p{share}": float(number) * _UNITS[unit]
        for share, number, unit in re.findall(r"^\s+(50|75|90|99)%\s+([0-9.]+)(us|ms|s)\s*$", output, re.MULTILINE)
    }
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", output)
    if rate is None or len(found) != len((50, 75, 90, 99)):
        raise SystemExit(output)
    return found | {"rate": float(rate[1])}


def _print(asked: dict[str, list[dict[str, float]]], taken: dict[bool, Intake], kept: int) -> None:
    title = f"Page with {CASES} cases, wrk with {CONNECTIONS} connections for {SECONDS} s, median of {ROUNDS} rounds"
    table = Table(
        "asked for", "requests/s", "p50, ms", "p99, ms", "each, ms", f"p99 within {LIMIT_MS:.0f} ms", title=title
    )
    for what, rounds in asked.items():
        middle = {name: statistics.median(one[name] for one in rounds) for name in ("rate", "p50", "p99")}
        within = "yes" if middle["p99"] <= LIMIT_MS else "no"
        each = " ".join(f"{one['p99']:.0f}" for one in rounds)
        table.add_row(what, f"{middle['rate']:.0f}", f"{middle['p50']:.0f}", f"{middle['p99']:.0f}", each, within)
    Console().print(table)
    sent = sum(one.sent for one in taken.values())
    title = f"The listener meanwhile: {kept} of {sent} images kept"
    intake = Table("intake", "alone, ms", "beside wrk, ms", "ratio", title=title)
    for name, pick in (("C-ECHO with its association, median", "echoes"), ("C-STORE of one image, median", "images")):
        alone, beside = (statistics.median(getattr(taken[is_loaded], pick)) for is_loaded in (False, True))
        intake.add_row(name, f"{alone:.1f}", f"{beside:.1f}", f"{beside / alone:.2f}")
    alone, beside = (max(taken[is_loaded].echoes) for is_loaded in (False, True))
    intake.add_row("C-ECHO with its association, worst", f"{alone:.1f}", f"{beside:.1f}", f"{beside / alone:.2f}")
    Console().print(intake)
    for is_loaded, where in ((False, "alone"), (True, "beside wrk")):
        for words, count in Counter(taken[is_loaded].put_off).most_common():
            Console().print(f"put off {where} and stored later: {count} times {words}", markup=False)
    if kept != sent:
        raise SystemExit(f"{sent - kept} images were acknowledged and are not there")


if __name__ == "__main__":
    worklist()
