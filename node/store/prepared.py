"""Statements that every image and every step goes through: compiled once for each dialect, run with plain values.

SQLAlchemy's own way from a statement and its values to the driver costs several times what the database does with it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Delete, Dialect, Insert, Select, Update
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

Statement = Select[Any] | CompoundSelect[Any] | Insert | Update | Delete
_Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Form:
    """A statement in the words of one dialect."""

    sql: str
    names: tuple[str, ...]
    """Of the parameters, in their order."""
    constants: Mapping[str, Any]
    """Those that the statement has a value for."""
    converters: tuple[tuple[str, _Convert], ...]
    """What values must go through before the driver takes them."""
    is_positional: bool

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """``values`` as the driver takes them."""
        if self.constants or self.converters:
            values = {**self.constants, **values}
            for name, convert in self.converters:
                values[name] = convert(values[name])
        return tuple([values[name] for name in self.names]) if self.is_positional else values


class Prepared:
    """One statement, its values given by the names of its parameters; what it returns is as the driver gives it."""

    def __init__(self, statement: Statement, columns: Sequence[str] | None = None) -> None:
        """``columns``: of an insertion, those that are given values."""
        self._statement = statement
        self._columns = columns
        self._forms: dict[str, _Form] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> DBAPICursor:
        """Run it once in the transaction of ``connection``: the driver's cursor.

        Raises:
            DBAPIError: what the driver raised, as SQLAlchemy says it.
        """
        form = self._form(connection.dialect)
        cursor = connection.connection.cursor()
        with _foreign_errors(connection, cursor):
            cursor.execute(form.sql, form.parameters(values))
        return cursor

    def run_all(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it for each of ``rows``, of which there may be none; raises as ``run``."""
        if len(rows) <= 1:
            # One alone the driver takes with fewer words to and fro.
            for values in rows:
                self.run(connection, values)
            return
        form = self._form(connection.dialect)
        cursor = connection.connection.cursor()
        with _foreign_errors(connection, cursor):
            cursor.executemany(form.sql, [form.parameters(values) for values in rows])

    def _form(self, dialect: Dialect) -> _Form:
        form = self._forms.get(dialect.name)
        if form is None:
            form = self._forms[dialect.name] = _compiled(self._statement, dialect, self._columns)
        return form


class _foreign_errors:  # noqa: N801 — used as a context manager; as a generator it would cost as much as the statement
    """What the driver raises, as SQLAlchemy says it; a connection that is gone is not used again."""

    __slots__ = ("_connection", "_cursor")

    def __init__(self, connection: Connection, cursor: DBAPICursor) -> None:
        self._connection = connection
        self._cursor = cursor

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            return
        connection, dialect = self._connection, self._connection.dialect
        base: Any = dialect.loaded_dbapi.Error
        if not isinstance(error, base):
            return
        is_gone = dialect.is_disconnect(error, connection.connection, self._cursor)
        if is_gone:
            connection.invalidate(error)
        raise DBAPIError.instance(
            None, None, error, base, hide_parameters=True, connection_invalidated=is_gone, dialect=dialect
        ) from error


def _compiled(statement: Statement, dialect: Dialect, columns: Sequence[str] | None) -> _Form:
    compiled = statement.compile(dialect=dialect, column_keys=list(columns) if columns else None)
    if not isinstance(compiled, SQLCompiler):
        raise TypeError(f"not a statement: {statement}")
    names = tuple(compiled.positiontup if compiled.positiontup is not None else compiled.binds)
    constants = {name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required}
    converters = [
        (name, convert)
        for name, bind in compiled.binds.items()
        if (convert := bind.type.dialect_impl(dialect).bind_processor(dialect))
    ]
    return _Form(str(compiled), names, constants, tuple(converters), compiled.positiontup is not None)
