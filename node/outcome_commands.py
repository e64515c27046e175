"""The ``celadon outcomes`` commands: what turned out to be true. Heavy imports stand inside the commands."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="What turned out to be true, for the calibration on /monitoring.", no_args_is_help=True)

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (default: celadon.toml here, if any).")]


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV: study_uid or accession, outcome, determined_on, source.")],
    by: Annotated[str, typer.Option("--by", help="Who enters them.")],
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be imported.")] = False,
) -> None:
    """Import a CSV file: all of it, or nothing when a row cannot be understood."""
    from node.outcome_file import read_outcomes
    from node.settings import read_settings
    from node.stores import Stores

    stores = Stores.open(read_settings(config))
    found = read_outcomes(file, by, stores.outcomes.studies)
    if not dry_run:
        stores.outcomes.add(found)
    typer.echo(f"{len(found)} outcomes {'would be imported' if dry_run else 'imported'}")
