"""``python -m tests.faults``: the matrices of faults, each with its table; exit code 1 when a promise was broken."""

import argparse
import sys
from typing import Final

from tests.faults import clock, delivery, disk, durability, fleet, hl7, hosts, identity, kills

_HITS: Final = 20
FLEETS: Final = fleet.SCENARIOS | hosts.SCENARIOS


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    killing = commands.add_parser("kills", help="SIGKILL at every failpoint and at random")
    killing.add_argument("--engine", choices=kills.ENGINES, required=True)
    killing.add_argument("--hits", type=int, default=_HITS, help="for each failpoint")
    killing.add_argument("--only", choices=kills.POINTS, action="append", help="one failpoint (again for more)")
    failing = commands.add_parser("disk", help="full and failing disks, a locked database, a server that goes away")
    failing.add_argument(
        "--busy-timeout", type=float, default=30.0, help="seconds that a locked database is waited for"
    )
    failing.add_argument("--restarts", type=int, default=20, help="of PostgreSQL")
    order = commands.add_parser("durability", help="the order of system calls before each success")
    order.add_argument("--images", type=int, default=100)
    laboratory = commands.add_parser("hl7", help="HL7 messages while the listener is killed")
    laboratory.add_argument("--engine", choices=kills.ENGINES, required=True)
    laboratory.add_argument("--messages", type=int, default=10_000)
    laboratory.add_argument("--kills", type=int, default=50)
    delivering = commands.add_parser("delivery", help="archives that fail, storage commitment, killed deliverers")
    delivering.add_argument("--only", choices=delivery.SCENARIOS, action="append", help="one scenario (again for more)")
    who = commands.add_parser("identity", help="many patients and character sets: whose objects are delivered")
    who.add_argument("--cases", type=int, default=500)
    who.add_argument("--seed", type=int, default=6)
    several = commands.add_parser("fleet", help="PostgreSQL, Redis and several workers: each of them fails")
    several.add_argument("--only", choices=FLEETS, action="append", help="one scenario (again for more)")
    commands.add_parser("clock", help="a clock that is set an hour forward or back under a running node")
    asked = parser.parse_args()
    match asked.command:
        case "kills":
            kept = kills.matrix(asked.engine, asked.only or kills.POINTS, asked.hits, _say)
        case "disk":
            kept = disk.matrix(_say, busy_timeout_s=asked.busy_timeout, restarts=asked.restarts)
        case "hl7":
            kept = hl7.matrix(asked.engine, asked.messages, asked.kills, _say)
        case "delivery":
            kept = delivery.matrix(asked.only or list(delivery.SCENARIOS), _say)
        case "identity":
            kept = identity.matrix(asked.cases, asked.seed, _say)
        case "fleet":
            kept = fleet.matrix({name: FLEETS[name] for name in asked.only or FLEETS}, _say)
        case "clock":
            kept = clock.matrix(_say)
        case _:
            kept = durability.matrix(asked.images, _say)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
