"""Celery, as the doorbell that it is here: a consumer of rings beside the loop that claims jobs from the database.

The loop in ``workers.poller`` works; a thread of this module takes messages from the broker and wakes it. A message
that is lost, late, forged or there twice does no harm: what there is to do is in the database, and the loop looks there
every second even when the broker is gone.

Settings of Celery and their reasons: messages are acknowledged when they are taken (a wake-up that was heard is over;
what it was about is protected by its lease), no results, JSON alone, one message at a time, no remote control and no
events: whoever reaches the broker can wake workers, and nothing else.
"""

import threading
from collections.abc import Collection, Mapping
from typing import Any, Final

from celery import Celery
from kombu import Queue as BrokerQueue

from node import log
from node.domain.lifecycle import Queue
from node.doorbell import NAMES, TASK, TRANSPORT
from workers.bell import Bell

SETTINGS: Final[Mapping[str, object]] = {
    "accept_content": ["json"],
    "task_serializer": "json",
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": False,
    "task_acks_late": False,
    "task_create_missing_queues": False,
    "worker_prefetch_multiplier": 1,
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    # A consumer that reconnects waits for longer each time; we start another at once.
    "broker_connection_retry": False,
    "broker_connection_retry_on_startup": False,
    # Longer than a consumer waits for the next message (kombu: ten seconds), or every pause would look like a fault.
    "broker_transport_options": {**TRANSPORT, "socket_timeout": 30.0},
}
_AGAIN_S: Final = 1.0


def make_app(broker_url: str, queues: Collection[Queue], bell: Bell) -> Celery:
    """The Celery application of one worker: its one task rings ``bell``. Nothing connects yet."""
    app = Celery("celadon", broker=broker_url, set_as_current=False)
    names = [NAMES[queue] for queue in queues]
    app.conf.update(SETTINGS, task_queues=[BrokerQueue(name, routing_key=name) for name in names])

    def ring(job_id: str) -> None:  # noqa: ARG001 — what there is to do is in the database
        bell.ring()

    # Not shared with other applications of the process: each worker has a bell of its own.
    app.task(ring, name=TASK, ignore_result=True, shared=False)
    return app


def listen_for_rings(
    broker_url: str, queues: Collection[Queue], bell: Bell, name: str, over: threading.Event | None = None
) -> threading.Thread:
    """Ring ``bell`` for every message on ``queues``, in a thread that ends with its process.

    ``over``: set, it ends when it next loses the broker.
    """
    app = make_app(broker_url, queues, bell)
    arguments = (app, name, over or threading.Event())
    thread = threading.Thread(target=_consume, args=arguments, name="celery", daemon=True)
    thread.start()
    return thread


def _consume(app: Any, name: str, over: threading.Event) -> None:
    """Consume for as long as the process lives, with a new consumer whenever the broker was gone."""
    app.set_current()  # of this thread: where Celery looks for tasks
    while not over.is_set():
        try:
            # Not the event loop: that sleeps for ever once Redis was started anew behind its back.
            worker = app.WorkController(
                hostname=name, pool_cls="solo", concurrency=1, use_eventloop=False, without_gossip=True,
                without_mingle=True, without_heartbeat=True, loglevel="CRITICAL",
            )  # fmt: skip
            worker.start()
        except (Exception, SystemExit) as exc:  # noqa: BLE001 — the loop goes on without being woken
            log.get().warning(log.BELL_BROKEN, error=type(exc).__name__)
        over.wait(_AGAIN_S)
