"""The process that serves the page until it is asked to stop."""

import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvicorn

from node import log
from node.errors import CeladonError, Retryable, UsageError
from node.settings import Settings, WebSettings, read_settings
from node.stopping import StopRequest
from node.store.chain import export_head
from node.stores import Stores
from node.web.app import make_app
from node.web.security import LARGEST_BODY
from node.web.site import Site

HEAD_EVERY_S: Final = 3600.0
_STREAMS_END_WITHIN_S: Final = 3
_BACKLOG: Final = 128
_CONNECTIONS: Final = 512


def serve(config: Path | None, ready_fd: int | None = None, parent: int | None = None) -> None:
    """Serve; ``ready_fd`` is where a supervisor, the process ``parent``, waits for the port.

    Raises:
        UsageError: the settings do not allow it, or the port cannot be had.
    """
    log.configure("web")
    settings = read_settings(config)
    stores = Stores.open(settings)
    require_users(settings.web, has_users=stores.users.any_enabled())
    site = Site.open(settings, stores)
    listening = _listen(settings.web)
    server = uvicorn.Server(_configuration(site))
    # Ours: uvicorn's own handlers would be installed over those that wait without polling.
    server.capture_signals = _nothing  # type: ignore[method-assign,assignment]
    stop = StopRequest()
    stop.install()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="web")
    thread.start()
    _announce(settings.web, listening, ready_fd)
    hourly = _every(HEAD_EVERY_S, lambda: _tidy(site))
    # A supervisor that was killed must not leave a server behind that nobody watches.
    while not stop.wait(1.0) and parent in (None, os.getppid()) and thread.is_alive():
        hourly()
    server.should_exit = True
    thread.join()
    export(settings, stores)


def require_users(web: WebSettings, *, has_users: bool) -> None:
    """Refuse to be reached by others while anybody could do anything.

    Raises:
        UsageError: says what to do.
    """
    if web.is_local or has_users or web.oidc is not None:
        return
    raise UsageError(
        f"web.host: {web.host} can be reached by others, and nobody is set up who may sign in: "
        "run celadon users add NAME --role admin, or set web.oidc"
    )


def export(settings: Settings, stores: Stores) -> None:
    """Write the head of the audit's chain outside of the database; a disk that fails is told and tried again."""
    try:
        with stores.database.read() as connection:
            export_head(connection, settings.audit_heads_file, datetime.now(UTC))
    except (OSError, CeladonError) as exc:
        log.get().error(log.AUDIT_HEAD_NOT_EXPORTED, error=type(exc).__name__)


def _tidy(site: Site) -> None:
    export(site.settings, site.stores)
    with suppress(Retryable):
        site.stores.users.sweep_sessions(site.lifetimes)


def _configuration(site: Site) -> uvicorn.Config:
    tls = site.settings.web.tls
    return uvicorn.Config(
        make_app(site),
        access_log=False,  # paths may name patients
        log_config=None,
        server_header=False,
        proxy_headers=site.settings.web.public_url is not None,
        forwarded_allow_ips="127.0.0.1",
        timeout_graceful_shutdown=_STREAMS_END_WITHIN_S,
        h11_max_incomplete_event_size=LARGEST_BODY,
        limit_concurrency=_CONNECTIONS,
        ssl_certfile=str(tls.certificate) if tls else None,
        ssl_keyfile=str(tls.key) if tls else None,
    )


def _listen(web: WebSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in web.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((web.host, web.port))
    except OSError as exc:
        listening.close()
        raise UsageError(f"web.port: {web.host}:{web.port} cannot be listened on: {exc.strerror}") from exc
    listening.listen(_BACKLOG)
    return listening


def _announce(web: WebSettings, listening: socket.socket, ready_fd: int | None) -> None:
    port = listening.getsockname()[1]
    log.get().info(log.WEB_READY, host=web.host, port=port)
    if not web.is_local and not web.is_https:
        log.get().warning(log.WEB_PLAIN, host=web.host)
    if ready_fd is not None:
        os.write(ready_fd, json.dumps({"web": port}).encode() + b"\n")
        os.close(ready_fd)


def _every(interval_s: float, do: Callable[[], None]) -> Callable[[], None]:
    """``do``, now and then at most every ``interval_s``, when it is called."""
    last = [-math.inf]

    def maybe() -> None:
        now = time.monotonic()
        if now - last[0] >= interval_s:
            last[0] = now
            do()

    return maybe


class _nothing:  # noqa: N801 — stands for a context manager of uvicorn's
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
