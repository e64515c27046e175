"""The processes that work: ``python -m workers analyse`` and ``python -m workers deliver``."""

import argparse
import os
import socket
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from models import device
from node import failpoints, log
from node.alarms import check_in_background
from node.destinations.registry import destinations
from node.domain.lifecycle import Queue
from node.ending import leave
from node.errors import CeladonError, UsageError
from node.housekeeping import tidy_in_background
from node.settings import read_settings
from node.stopping import StopRequest
from node.store.jobs import Claim
from node.stores import Stores
from workers.analysis import Analysis
from workers.bell import Bell
from workers.bootstrap import open_workshop
from workers.delivery import run_all, wanting_commitment, works
from workers.poller import poll
from workers.progress import Progress, Told, Untold

ANALYSE_INTERVAL_S: Final = 0.5
WITH_BELL_INTERVAL_S: Final = 1.0
"""With a broker: what a message that was lost costs."""
QUEUES: Final[Mapping[str, Collection[Queue]]] = {
    "all": tuple(Queue),
    Queue.CPU.value: (Queue.CPU,),
    Queue.GPU.value: (Queue.GPU,),
}
DELIVER_INTERVAL_S: Final = 0.25
TIDY_INTERVAL_S: Final = 3600.0


def main() -> int:
    """Run one role until SIGTERM; the job in hand is finished first."""
    arguments = _arguments()
    log.configure(arguments.role)
    stop = StopRequest()
    stop.install()
    try:
        if armed := failpoints.arm(os.environ):
            log.get().warning(log.FAILPOINT_ARMED, detail=armed)
        _ROLES[arguments.role](arguments, stop)
    except UsageError as exc:
        print(f"celadon: {exc}", file=sys.stderr)  # noqa: T201 — wrong usage is said to a person
        return 2
    except CeladonError as exc:
        print(f"celadon: {exc}", file=sys.stderr)  # noqa: T201 — the same
        return 1
    return 0


def _analyse(arguments: argparse.Namespace, stop: StopRequest) -> None:
    worker, queues = _name("worker"), QUEUES[arguments.queue]
    settings = read_settings(arguments.config)
    shop = open_workshop(settings, arguments.device)
    _announce(arguments, worker)
    analysis = Analysis(shop, worker, queues, _progress(arguments))

    def another() -> Claim | None:
        is_free = not stop.is_set() and shop.has_room()
        return shop.stores.jobs.claim(worker, queues, is_beside=True) if is_free else None

    def work() -> bool:
        claim = shop.stores.jobs.claim(worker, queues) if shop.has_room() else None
        if claim is not None:
            analysis.run(claim, another)
        return claim is not None

    broker = settings.broker_url.get_secret_value()
    bell = _bell(broker, queues, worker) if broker else None
    poll(work, interval_s=WITH_BELL_INTERVAL_S if bell else ANALYSE_INTERVAL_S, stop=stop, bell=bell)
    shop.stores.database.close()


def _deliver(arguments: argparse.Namespace, stop: StopRequest) -> None:
    deliverer = _name("deliverer")
    settings = read_settings(arguments.config)
    stores = Stores.open(settings)
    work = works(settings, stores, destinations(settings), deliverer)
    stores.commitments.forgo(wanting_commitment(settings.archives))
    tidy_in_background(stores.retention, keep_days=settings.retention.days, interval_s=TIDY_INTERVAL_S)
    check_in_background(stores, settings)
    _announce(arguments, deliverer)
    if arguments.ready_fd is not None:
        os.close(arguments.ready_fd)
    run_all(work, lambda one: poll(one, interval_s=DELIVER_INTERVAL_S, stop=stop), stop.set)
    stores.database.close()


_ROLES: Final = {"analyse": _analyse, "deliver": _deliver}


def _bell(broker_url: str, queues: Collection[Queue], worker: str) -> Bell:
    """A bell that is rung by what comes over the broker."""
    from workers.app import listen_for_rings  # noqa: PLC0415  a node without a broker needs no Celery

    bell = Bell()
    listen_for_rings(broker_url, queues, bell, worker.replace(" ", "-"))
    return bell


def _progress(arguments: argparse.Namespace) -> Progress:
    return Untold() if arguments.ready_fd is None else Told(arguments.ready_fd)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("role", choices=sorted(_ROLES))
    parser.add_argument("--config", type=Path)
    parser.add_argument("--queue", choices=sorted(QUEUES), default="all", help="whose work is done here")
    parser.add_argument("--device", choices=(device.CPU, device.AUTO), default=device.CPU, help="where models run")
    parser.add_argument(
        "--ready-fd", type=int, help="a descriptor to write one line to when ready, and then what is worked on"
    )
    return parser.parse_args()


def _name(role: str) -> str:
    return f"{role} {socket.gethostname()}:{os.getpid()}"


def _announce(arguments: argparse.Namespace, name: str) -> None:
    log.get().info(log.WORKER_READY, worker=name)
    if arguments.ready_fd is not None:
        os.write(arguments.ready_fd, b"{}\n")


if __name__ == "__main__":
    leave(main())
