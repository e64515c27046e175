"""The database that nodes under test have: SQLite, or with ``ENGINE=postgresql`` one of a private PostgreSQL's.

What is about SQLite itself, a lock or a full disk of its file, stays with it.
"""

import atexit
import itertools
import os
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine, text

from node.demo import private_node
from node.demo.private_node import PrivateNode
from node.dicom.peer import Peer
from tests.servers import private_postgresql

ENGINES: Final = ("sqlite", "postgresql")
ENGINE: Final = os.environ.get("ENGINE", "sqlite")
_numbers = itertools.count()


def fresh_url(folder: Path) -> str:
    """The URL of a fresh database without any table, in ``folder`` where it is SQLite's."""
    assert ENGINE in ENGINES, f"ENGINE is one of {', '.join(ENGINES)}"
    if ENGINE == "sqlite":
        return f"sqlite:///{folder / 'celadon.db'}"
    name = f"engine_{next(_numbers)}"
    admin = create_engine(_server().format("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return _server().format(name)


def start_node(folder: Path, *, pacs: Peer | None, extra: str = "") -> AbstractContextManager[PrivateNode]:
    """A private node as in ``node.demo``, with a database of the engine under test."""
    url = "" if ENGINE == "sqlite" else fresh_url(folder)
    return private_node.start_node(folder, pacs=pacs, extra=extra, database_url=url)


@cache
def _server() -> str:
    """One server for this process, which ends with it."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(private_postgresql())
