"""The doorbell: tells the workers of a fleet that a job waits, over the broker; nothing depends on being heard.

A message is one of Celery's (message protocol, version 2) for the task ``celadon.ring``, written here by kombu, its
transport: the node itself runs without Celery. It carries a job's id and nothing else, and whoever is woken by it looks
into the database. Whoever rings waits for nobody: a thread publishes, and what cannot be published is forgotten, since
workers look for themselves every second.
"""

import atexit
import queue
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from node import log
from node.domain.identifiers import JobId
from node.domain.lifecycle import Queue

TASK: Final = "celadon.ring"
NAMES: Final[Mapping[Queue, str]] = {Queue.CPU: "cpu", Queue.GPU: "gpu"}
"""The broker's name of each queue; Celery's routing, KEDA's triggers and dashboards go by it."""
LOUD_ENOUGH: Final = 1000
"""Messages in a queue that nobody has taken: more of them would wake nobody sooner."""
TRANSPORT: Final[Mapping[str, object]] = {
    "socket_timeout": 2.0,
    "socket_connect_timeout": 2.0,
    "socket_keepalive": True,
    "retry_on_timeout": False,
}
"""Of Redis: a broker that is cut off costs two seconds in a thread of its own, and nobody else anything."""
_WAITING: Final = 1000
_PAUSE_S: Final = 1.0
_LAST_WORDS_S: Final = 2.0


class Doorbell:
    """Rings over one broker; used by any thread, and never in anybody's way."""

    def __init__(self, broker_url: str) -> None:
        """Nothing connects until the first ring."""
        self._url = broker_url
        self._rings: queue.Queue[tuple[Queue, JobId] | None] = queue.Queue(_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pause = threading.Event()
        self._link: _Link | None = None
        self._is_broken = False
        self.unheard = 0
        """Rings that were given up."""

    def ring(self, where: Queue, job_id: JobId) -> None:
        """Tell the workers of ``where``; returns at once."""
        self._begin()
        try:
            self._rings.put_nowait((where, job_id))
        except queue.Full:
            self.unheard += 1

    def close(self) -> None:
        """Publish what is on its way, for as long as that takes a moment only: of a command that ends."""
        if self._thread is None:
            return
        try:
            self._rings.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(_LAST_WORDS_S)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
                self._thread.start()
                atexit.register(self.close)

    def _run(self) -> None:
        while (ringing := self._rings.get()) is not None:
            # Twice: a connection that nobody needed for hours has often been cut by somebody in between.
            if not (self._publish(*ringing) or self._publish(*ringing)):
                self._forget()
                self._pause.wait(_PAUSE_S)

    def _publish(self, where: Queue, job_id: JobId) -> bool:
        """Publish one ring; whether that could be done."""
        try:
            if self._link is None:
                self._link = _Link(self._url)
            self._link.publish(where, job_id)
        except Exception as exc:  # noqa: BLE001 — kombu lets through whatever its transports raise
            if self._link is not None:
                self._link.close()
            elif not self._is_broken:
                # Not its message: that may quote the address with its password.
                log.get().warning(log.BELL_BROKEN, error=type(exc).__name__)
            self._is_broken = self._link is None
            self._link = None
            return False
        self._is_broken = False
        return True

    def _forget(self) -> None:
        """Give up what waits to be published: by the time that the broker is back, it has been found."""
        self.unheard += 1
        with suppress(queue.Empty):
            while True:
                if self._rings.get_nowait() is None:
                    self._rings.put_nowait(None)
                    return
                self.unheard += 1


class _Link:
    """A connection to the broker, with the queues declared."""

    def __init__(self, url: str) -> None:
        import kombu  # noqa: PLC0415  only a node with a broker needs it

        self._connection = kombu.Connection(url, transport_options=dict(TRANSPORT))
        try:
            self._connection.connect()
            self._producer = self._connection.Producer(serializer="json")
            self._queues = {
                where: kombu.Queue(name, routing_key=name)(self._connection.default_channel)
                for where, name in NAMES.items()
            }
            for one in self._queues.values():
                one.declare()
        except Exception:
            self.close()
            raise

    def publish(self, where: Queue, job_id: JobId) -> None:
        """Put a ring into a queue, unless that is loud enough already."""
        if self._queues[where].queue_declare().message_count < LOUD_ENOUGH:
            self._producer.publish(routing_key=NAMES[where], retry=False, **message(job_id))

    def close(self) -> None:
        """Give the connection up, whatever state it is in."""
        with suppress(Exception):
            self._connection.release()


def message(job_id: JobId) -> dict[str, Any]:
    """Body, headers and properties of a ring, as ``Producer.publish`` takes them."""
    task_id = str(uuid.uuid4())
    return {
        "body": ([str(job_id)], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}),
        "headers": {
            "lang": "py",
            "task": TASK,
            "id": task_id,
            "root_id": task_id,
            "parent_id": None,
            "group": None,
            "retries": 0,
            "timelimit": [None, None],
            "argsrepr": "",
            "kwargsrepr": "",
            "ignore_result": True,
        },
        "correlation_id": task_id,
        "content_encoding": "utf-8",
    }
