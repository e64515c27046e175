"""The ``celadon clinical`` commands. Everything heavy is imported inside the command that needs it."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from node.stores import Stores

app = typer.Typer(help="Clinical variables with source and time.", no_args_is_help=True)

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (default: celadon.toml here, if any).")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]
Issuer = Annotated[str, typer.Option("--issuer", help="Issuer of the patient ID (default: clinical.issuer).")]
By = Annotated[str, typer.Option("--by", help="Who says so.")]


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with patient_id, variable, value, unit, observed_at, …")],
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be imported.")] = False,
) -> None:
    """Import a CSV file: all of it, or nothing when a row cannot be understood."""
    from node.clinical_console import import_csv

    _exit_with(import_csv(_stores(config), file, rehearse=dry_run))


@app.command()
def listen(
    config: Config = None,
    ready_fd: Annotated[int | None, typer.Option("--ready-fd", hidden=True)] = None,
    parent: Annotated[int | None, typer.Option("--parent", hidden=True)] = None,
) -> None:
    """Run the HL7 v2 listener alone (MLLP: ORU^R01, ADT^A08, A31, A34, A40)."""
    from node.clinical_role import listen

    listen(config, ready_fd, parent)


@app.command()
def check(config: Config = None, json_output: Json = False) -> None:
    """Ask each source whether it works, and say what was refused or waits; exit code 1 when one does not."""
    from node.clinical_console import show_checks
    from node.settings import read_settings
    from node.stores import Stores

    settings = read_settings(config)
    _exit_with(show_checks(settings, Stores.open(settings), as_json=json_output))


@app.command()
def show(patient: str, config: Config = None, issuer: Issuer = "", json_output: Json = False) -> None:
    """Show what is known of a patient: each value with source, time, unit, state and reason."""
    from node.clinical_console import show_patient

    _exit_with(show_patient(_stores(config), patient, issuer, as_json=json_output))


@app.command()
def held(config: Config = None, json_output: Json = False) -> None:
    """List every value that waits for a person, of all patients; exit code 1 when there is one."""
    from node.clinical_console import show_held

    _exit_with(show_held(_stores(config), as_json=json_output))


@app.command()
def enter(
    patient: str,
    variable: Annotated[str, typer.Argument(help="A name such as ca19_9, or a LOINC code.")],
    value: str,
    by: By,
    unit: Annotated[str, typer.Option("--unit", help="UCUM, or as laboratories write it.")] = "",
    observed: Annotated[datetime | None, typer.Option("--observed", help="When (local time; default: now).")] = None,
    config: Config = None,
    issuer: Issuer = "",
) -> None:
    """Enter a value for a patient; it counts more than any other source."""
    from node.clinical_console import enter_value

    enter_value(_stores(config), patient, issuer, variable, value, unit, by, observed)


@app.command()
def accept(value_id: int, by: By, config: Config = None) -> None:
    """Have a held value used: a person has looked at it."""
    _stores(config).clinical.decide(value_id, usable=True, by=by)
    typer.echo(f"value {value_id} is used")


@app.command()
def reject(value_id: int, by: By, config: Config = None) -> None:
    """Have a value not used: a person has looked at it."""
    _stores(config).clinical.decide(value_id, usable=False, by=by)
    typer.echo(f"value {value_id} is not used")


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="The CSV file to write.")],
    key_file: Annotated[Path, typer.Option("--key-file", help="At least 32 secret bytes; keep it apart.", exists=True)],
    images: Annotated[
        Path | None, typer.Option("--images", help="A new folder for the CT images, de-identified after PS3.15.")
    ] = None,
    config: Config = None,
) -> None:
    """Write all usable values without the patients: keyed pseudonyms, moved dates; with --images the CT as well."""
    from node.clinical_console import export_values

    _exit_with(export_values(_stores(config), out, key_file, images))


def _exit_with(code: int) -> None:
    if code:
        raise SystemExit(code)


def _stores(config: Path | None) -> "Stores":
    from node.settings import read_settings
    from node.stores import Stores

    return Stores.open(read_settings(config))
