"""The process that decodes what was received: ``python -m node.dicom.decoder``, started by ``node.dicom.sandbox``.

It reads requests from the socket that is its standard input, one at a time, and ends with it. Its memory is limited,
it can write no file, and an alarm of its own ends it should nobody watch it any more.
"""

import argparse
import gc
import logging
import resource
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pydicom.pixels  # noqa: F401 — the decoders' libraries are loaded before memory is limited

from node.dicom.annotations import read_annotation
from node.dicom.measurements import read_measurements
from node.dicom.reading import read_hounsfield, same_content
from node.dicom.sandbox_wire import (
    BadMessage,
    Message,
    annotation_message,
    document_message,
    receive,
    send,
    verdict_message,
)
from node.dicom.verdicts import read_verdict
from node.errors import Refused, Rejected, Retryable

STANDARD_INPUT: Final = 0
_DESCRIPTORS: Final = 64
_ALARM_AFTER: Final = 1.5
"""Of the time that a request may take: whoever asked has ended this process before, unless it is gone itself."""


def main() -> int:
    """Answer requests until the other side is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--call-s", type=float, required=True)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who started us
    confine(asked.memory_bytes)
    connected = socket.socket(fileno=STANDARD_INPUT)
    send(connected, Message({"ready": True}))
    while True:
        try:
            request = receive(connected)
        except BadMessage:
            return 0
        signal.setitimer(signal.ITIMER_REAL, asked.call_s * _ALARM_AFTER)
        reply = _reply(request)
        send(connected, reply)
        signal.setitimer(signal.ITIMER_REAL, 0)


def confine(memory_bytes: int) -> None:
    """Limit this process: address space, no core dump, no file that can grow, few descriptors."""
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_DATA: memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: _DESCRIPTORS,
    }
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        lowest = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lowest, lowest))


def _reply(request: Message) -> Message:
    try:
        return _CALLS[request.header["call"]](*(Path(path) for path in request.header["paths"]))
    except Rejected as exc:
        kind = "refused" if isinstance(exc, Refused) else "quarantined"
        return Message({"error": kind, "code": exc.reason.code.name, "detail": exc.reason.detail})
    except Retryable as exc:
        return Message({"error": "retryable", "detail": str(exc)})
    except OSError as exc:
        return Message({"error": "os", "code": exc.errno, "detail": exc.strerror or ""})
    except Exception as exc:  # noqa: BLE001 — whatever a decoder raises is an answer, not an end
        return Message({"error": "broken", "detail": type(exc).__name__})
    finally:
        gc.collect(0)


def _read_hounsfield(path: Path) -> Message:
    return Message({}, [read_hounsfield(path)])


def _same_content(one: Path, other: Path) -> Message:
    return Message({"value": same_content(one, other)})


def _read_annotation(path: Path) -> Message:
    return annotation_message(read_annotation(path))


def _read_measurements(path: Path) -> Message:
    return document_message(read_measurements(path))


def _read_verdict(path: Path) -> Message:
    return verdict_message(read_verdict(path))


_CALLS: Final[MappingProxyType[str, Callable[..., Message]]] = MappingProxyType(
    {
        "read_hounsfield": _read_hounsfield,
        "same_content": _same_content,
        "read_annotation": _read_annotation,
        "read_measurements": _read_measurements,
        "read_verdict": _read_verdict,
    }
)


if __name__ == "__main__":
    sys.exit(main())
