"""The sandbox: what was received is decoded in processes of their own, with limits of memory and time.

Decoders are C libraries that read what anybody may have sent. Here such a library can crash, fill its memory or never
end: the call that asked gets a coded reason, the process is replaced, and the next call works. The processes are kept,
so that a call costs little more than the decoding.
"""

import os
import queue
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

import numpy as np

from node import log
from node.dicom.sandbox_wire import BadMessage, Message, annotation_from, document_from, receive, send, verdict_from
from node.domain.clinical_intake import MeasurementDocument
from node.domain.imaging import Annotation, HuArray
from node.domain.reasons import ReasonCode
from node.domain.verdict import VerdictDocument
from node.errors import Fatal, Quarantined, Refused, Retryable

_STARTS_WITHIN_S: Final = 60.0
"""Loading the decoders' libraries takes half a second, on a busy machine many."""
_SEND_WITHIN_S: Final = 5.0
_ENDS_WITHIN_S: Final = 10.0
_LONGEST_DETAIL: Final = 200
_BUFFER_BYTES: Final = 2**20
_SECRETS: Final = ("CELADON_", "AWS_")
"""Settings of the node, a database's password and a bucket's key among them, are none of a decoder's business."""
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one decoder may use."""

    memory_bytes: int = 2 * 2**30
    """Of address space, its libraries included."""
    call_s: float = 60.0
    """For one call, in seconds of real time."""


class Decoder(Protocol):
    """Decodes stored files; the errors are those of the functions of the same name in ``reading`` and ``annotations``.

    ``width`` calls may usefully be under way at once, from as many threads.
    """

    @property
    def width(self) -> int:
        """How many calls are worth making at once."""
        ...

    def read_hounsfield(self, path: Path) -> HuArray:
        """The pixels of one CT image, [row, column], in HU."""
        ...

    def same_content(self, one: Path, other: Path) -> bool:
        """Whether two files hold the same object."""
        ...

    def read_annotation(self, path: Path) -> Annotation:
        """The contours in a SEG or RTSTRUCT."""
        ...

    def read_measurements(self, path: Path) -> MeasurementDocument:
        """The measurements in a structured report."""
        ...

    def read_verdict(self, path: Path) -> VerdictDocument | None:
        """The verdict in a document, where it holds one."""
        ...


class Broken(Exception):
    """A decoder gave no answer: it died, took too long, or failed in a way of its own."""


class Sandbox:
    """A pool of decoders, each started when it is first needed; implements ``Decoder``, from any thread."""

    def __init__(self, processes: int = 1, limits: Limits | None = None) -> None:
        """``processes``: how many decoders there are at most."""
        self._processes = processes
        self._limits = limits or Limits()
        self._free: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(processes):
            self._free.put(None)
        self._close = weakref.finalize(self, _end_all, self._free)

    @property
    def width(self) -> int:
        """As many calls at once as there are decoders."""
        return self._processes

    def warm(self) -> None:
        """Start every decoder now; Fatal when that is impossible."""
        taken = [self._free.get() for _ in range(self._processes)]
        try:
            for number, process in enumerate(taken):
                taken[number] = process or _Process(self._limits)
            for process in taken:
                if process:
                    process.wait_ready()
        finally:
            for process in taken:
                self._free.put(process)

    def close(self) -> None:
        """End the decoders; calls that are under way fail. Safe to repeat."""
        self._close()

    def read_hounsfield(self, path: Path) -> HuArray:
        """As ``reading.read_hounsfield``; Quarantined too when the decoder gives no answer."""
        try:
            reply = self._call("read_hounsfield", path)
            return _plane(reply)
        except Broken as exc:
            raise Quarantined(ReasonCode.UNDECODABLE, str(exc)) from exc

    def same_content(self, one: Path, other: Path) -> bool:
        """As ``reading.same_content``: what cannot be decoded cannot be shown to be the same."""
        try:
            return self._call("same_content", one, other).header.get("value") is True
        except Broken:
            return False

    def read_annotation(self, path: Path) -> Annotation:
        """As ``annotations.read_annotation``; Refused (ANNOTATION_UNREADABLE) too when the decoder gives no answer."""
        try:
            reply = self._call("read_annotation", path)
            return annotation_from(reply)
        except (Broken, BadMessage) as exc:
            raise Refused(ReasonCode.ANNOTATION_UNREADABLE, str(exc)) from exc

    def read_measurements(self, path: Path) -> MeasurementDocument:
        """As ``measurements.read_measurements``; Refused (DOCUMENT_UNREADABLE) too when the decoder gives no answer."""
        try:
            reply = self._call("read_measurements", path)
            return document_from(reply)
        except (Broken, BadMessage) as exc:
            raise Refused(ReasonCode.DOCUMENT_UNREADABLE, str(exc)) from exc

    def read_verdict(self, path: Path) -> VerdictDocument | None:
        """As ``verdicts.read_verdict``; Refused (DOCUMENT_UNREADABLE) too when the decoder gives no answer."""
        try:
            reply = self._call("read_verdict", path)
            return verdict_from(reply)
        except (Broken, BadMessage) as exc:
            raise Refused(ReasonCode.DOCUMENT_UNREADABLE, str(exc)) from exc

    def _call(self, name: str, *paths: Path) -> Message:
        """The reply of a decoder that is free.

        Raises:
            Broken: there is none.
            Refused, Quarantined, Retryable, OSError: what the decoder raised.
            Fatal: no decoder can be started.
        """
        process = self._free.get()
        try:
            if process is None or not process.is_alive():
                # One that died of itself between two calls has done nothing for this one.
                if process:
                    process.end()
                    process = None
                process = _Process(self._limits)
                process.wait_ready()
            reply = process.ask({"call": name, "paths": [str(path.absolute()) for path in paths]})
        except BaseException as exc:
            if process:
                process.end()
                process = None
            if isinstance(exc, Broken):
                log.get().error(log.DECODER_ENDED, detail=str(exc))
            raise
        finally:
            self._free.put(process)
        if "error" in reply.header:
            _raise(reply.header)
        return reply


class _Process:
    """One decoder and the connection to it; used by one thread at a time."""

    def __init__(self, limits: Limits) -> None:
        """Start it; it is of use after ``wait_ready``."""
        self._limits = limits
        self._is_ready = False
        self._connected, theirs = socket.socketpair()
        # A slice fits: the decoder writes it at one go, and goes on to the next request.
        for end in (self._connected, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        options = ("--memory-bytes", str(limits.memory_bytes), "--call-s", str(limits.call_s))
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 — our own program
                [sys.executable, "-m", "node.dicom.decoder", *options],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # the libraries quote what they read
                env={name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)} | _ONE_THREAD,
            )

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def wait_ready(self) -> None:
        """Wait until it has loaded its libraries; Fatal when it ends instead."""
        if self._is_ready:
            return
        try:
            receive(self._connected, time.monotonic() + _STARTS_WITHIN_S)
        except (BadMessage, OSError) as exc:
            self.end()
            code = self._process.returncode
            raise Fatal(f"python -m node.dicom.decoder does not start (exit code {code})") from exc
        self._is_ready = True

    def ask(self, request: dict[str, Any]) -> Message:
        """The reply to a request, error or not; Broken when there is none in time."""
        try:
            self._connected.settimeout(_SEND_WITHIN_S)
            send(self._connected, Message(request))
            return receive(self._connected, time.monotonic() + self._limits.call_s)
        except TimeoutError as exc:
            raise Broken(f"decoding took more than {self._limits.call_s:g} s") from exc
        except (BadMessage, OSError) as exc:
            raise Broken(f"the decoder died ({self._how()})") from exc

    def end(self) -> None:
        """Kill it, whatever it does."""
        self._connected.close()
        self._process.kill()
        self._process.wait()

    def _how(self) -> str:
        try:
            code = self._process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            return "it does not speak as it should"
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def _end_all(free: "queue.LifoQueue[_Process | None]") -> None:
    """End the decoders that nobody is using; the others end with their caller's connection."""
    while True:
        try:
            process = free.get_nowait()
        except queue.Empty:
            return
        if process:
            process.end()


def _plane(reply: Message) -> HuArray:
    arrays: Sequence[Any] = reply.arrays
    if len(arrays) != 1 or arrays[0].dtype != np.float32:
        raise Broken("the decoder does not speak as it should")
    plane: HuArray = arrays[0]
    return plane


def _raise(error: dict[str, Any]) -> NoReturn:
    """Raise what the decoder raised."""
    detail = str(error.get("detail", ""))[:_LONGEST_DETAIL]
    match error["error"]:
        case "refused" | "quarantined" as kind if error.get("code") in ReasonCode.__members__:
            rejected = Refused if kind == "refused" else Quarantined
            raise rejected(ReasonCode[error["code"]], detail)
        case "retryable":
            raise Retryable(detail)
        case "os":
            raise OSError(error.get("code"), detail)
        case _:
            raise Broken(f"the decoder failed ({detail})")
