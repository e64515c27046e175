"""The processes that work: ``python -m workers analyse`` and ``python -m workers deliver``."""

import argparse
import os
import socket
import sys
from pathlib import Path
from typing import Final

from node import failpoints, log
from node.destinations.registry import destinations
from node.domain.lifecycle import DeliveryState
from node.errors import CeladonError, UsageError
from node.failpoints import Failpoint
from node.housekeeping import tidy_in_background
from node.settings import read_settings
from node.stopping import StopRequest
from node.stores import Stores
from workers.analysis import Analysis
from workers.bootstrap import open_workshop
from workers.poller import poll
from workers.steps.deliver import deliver

ANALYSE_INTERVAL_S: Final = 0.5
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
    worker = _name("worker")
    shop = open_workshop(read_settings(arguments.config))
    analysis = Analysis(shop, worker)

    def work() -> bool:
        claim = shop.stores.jobs.claim(worker)
        if claim is not None:
            analysis.run(claim)
        return claim is not None

    _announce(arguments, worker)
    poll(work, interval_s=ANALYSE_INTERVAL_S, stop=stop)


def _deliver(arguments: argparse.Namespace, stop: StopRequest) -> None:
    deliverer = _name("deliverer")
    settings = read_settings(arguments.config)
    stores = Stores.open(settings)
    outbox = stores.outbox
    known = destinations(settings)

    def work() -> bool:
        deliveries = outbox.lease(deliverer)
        if not deliveries:
            return False
        outcomes = deliver(deliveries, known)
        failpoints.hit(Failpoint.OUTBOX_SENT)
        outbox.record(deliverer, deliveries, outcomes)
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            log.get().info(
                _DELIVERY_EVENTS[outcome.state],
                job_id=delivery.job_id,
                instance_uid=delivery.object_uid,
                destination=delivery.destination,
                detail=outcome.detail,
                attempts=delivery.attempts,
            )
        return True

    tidy_in_background(stores.retention, keep_days=settings.retention.days, interval_s=TIDY_INTERVAL_S)
    _announce(arguments, deliverer)
    poll(work, interval_s=DELIVER_INTERVAL_S, stop=stop)


_ROLES: Final = {"analyse": _analyse, "deliver": _deliver}
_DELIVERY_EVENTS: Final = {
    DeliveryState.STORED: log.OBJECT_DELIVERED,
    DeliveryState.PENDING: log.DELIVERY_POSTPONED,
    DeliveryState.FAILED: log.DELIVERY_FAILED,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("role", choices=sorted(_ROLES))
    parser.add_argument("--config", type=Path)
    parser.add_argument("--ready-fd", type=int, help="a descriptor to write one line to when ready")
    return parser.parse_args()


def _name(role: str) -> str:
    return f"{role} {socket.gethostname()}:{os.getpid()}"


def _announce(arguments: argparse.Namespace, name: str) -> None:
    log.get().info(log.WORKER_READY, worker=name)
    if arguments.ready_fd is not None:
        os.write(arguments.ready_fd, b"{}\n")
        os.close(arguments.ready_fd)


if __name__ == "__main__":
    sys.exit(main())
