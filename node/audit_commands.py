"""The ``celadon audit`` commands: the trail, verified and exported. Heavy imports stand inside the commands."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The audit trail: is it whole, and what is in it.", no_args_is_help=True)

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (default: celadon.toml here, if any).")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]


@app.command()
def verify(config: Config = None, json_output: Json = False) -> None:
    """Read every row and compare it with the chain; exit code 1 and the first bad row when one differs."""
    from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
    from node.settings import read_settings
    from node.store import chain
    from node.store.audit import AuditTrail
    from node.stores import open_database

    settings = read_settings(config)
    key = chain.read_key(settings.audit_key_file)
    database = open_database(settings)
    database.require_current()
    with database.view() as connection:
        found = chain.verify(connection, key, chain.exported_heads(settings.audit_heads_file, key))
    if json_output:
        typer.echo(
            json.dumps({"well": found.bad_row is None, "rows": found.rows, "bad_row": found.bad_row, "why": found.why})
        )
    elif found.bad_row is None:
        typer.echo(f"{found.rows} rows, every one as it was written")
    else:
        typer.echo(f"row {found.bad_row}: {found.why}")
    if found.bad_row is not None:
        AuditTrail(database).record(
            AuditEvent(
                datetime.now(UTC),
                "operator",
                AuditAction.TRAIL_BROKEN,
                AuditOutcome.FAILURE,
                details={"row": found.bad_row},
            )
        )
        raise typer.Exit(1)


@app.command()
def export(
    config: Config = None,
    since: Annotated[datetime | None, typer.Option(help="Only rows since (local time).")] = None,
) -> None:
    """Write the rows to stdout, one JSON document a line, oldest first; the export is a row itself."""
    from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
    from node.settings import read_settings
    from node.store.audit import AuditFilter
    from node.stores import Stores
    from node.web.audit import as_document

    stores = Stores.open(read_settings(config))
    wanted = AuditFilter(since=since.astimezone() if since else None)
    action = AuditAction.AUDIT_EXPORTED
    stores.audit.record(AuditEvent(datetime.now(UTC), "operator", action, AuditOutcome.SUCCESS))
    for row in stores.audit.matching(wanted):
        typer.echo(json.dumps(as_document(row), ensure_ascii=False))
