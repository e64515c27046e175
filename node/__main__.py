"""The ``celadon`` command. Everything heavy is imported inside the command that needs it, so that help is instant."""

import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from node import clinical_commands
from node.errors import CeladonError, UsageError

if TYPE_CHECKING:
    from node.dicom.completion import CountInArchive
    from node.settings import Settings
    from node.stores import Stores

app = typer.Typer(
    name="celadon",
    help="Celadon: portal-venous CT in, explained predictions back into the same study.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db = typer.Typer(help="The database.", no_args_is_help=True)
app.add_typer(db, name="db")
models = typer.Typer(help="The model bundles: what ships, and what was added.", no_args_is_help=True)
app.add_typer(models, name="models")
app.add_typer(clinical_commands.app, name="clinical")

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (default: celadon.toml here, if any).")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]
ReadyFd = Annotated[int | None, typer.Option("--ready-fd", hidden=True)]
Parent = Annotated[int | None, typer.Option("--parent", hidden=True)]

NOT_WELL: Final = 1
WRONG_USAGE: Final = 2
COUNT_WITHIN_S: Final = 5.0
"""An archive that takes longer to answer a query is asked again later."""


@app.command()
def up(config: Config = None) -> None:
    """Run the whole node on this machine: listener, workers and deliverer. SIGTERM drains and stops it."""
    _replace_by("node.supervisor", "up", config)


@app.command()
def work(config: Config = None) -> None:
    """Run the working processes alone: analysers and a deliverer."""
    _replace_by("node.supervisor", "work", config)


@app.command()
def listen(config: Config = None, ready_fd: ReadyFd = None, parent: Parent = None) -> None:
    """Run the DICOM listener alone."""
    from node import failpoints, log
    from node.dicom.completion import CompletionWatch
    from node.dicom.listener import Listener
    from node.housekeeping import tidy_in_background
    from node.settings import read_settings
    from node.stopping import StopRequest
    from node.stores import Stores

    log.configure("listener")
    if armed := failpoints.arm(os.environ):
        log.get().warning(log.FAILPOINT_ARMED, detail=armed)
    settings = read_settings(config)
    stores = Stores.open(settings, intake=True)
    stop = StopRequest()
    stop.install()
    watch = CompletionWatch(
        stores.jobs,
        lambda uid: stores.inbox.series(uid).instances,
        quiet_min_s=settings.completion.quiet_min_s,
        quiet_max_s=settings.completion.quiet_max_s,
        count_in_archive=_count_in_archive(settings),
    )
    watch.resume(stores.inbox.collecting())
    listener = Listener(settings.dicom, stores.inbox, watch, stores.audit)
    listener.start()
    tidy_in_background(stores.retention)
    if ready_fd is not None:
        os.write(ready_fd, json.dumps({"port": listener.port}).encode() + b"\n")
        os.close(ready_fd)
    # A supervisor that was killed must not leave a listener behind that nobody watches.
    while not stop.wait(1.0) and parent in (None, os.getppid()):
        pass
    listener.stop()


@app.command()
def demo(
    json_output: Json = False,
    organ: Annotated[str, typer.Option(help="pancreas, stomach, or both.")] = "both",
    pictures: Annotated[Path, typer.Option(help="Where the overlay pictures go.")] = Path("celadon-demo"),
) -> None:
    """Send a real CT from a PACS to a private node and show what comes back. Ends by itself."""
    from node.demo.run import run_demo

    _exit_with(run_demo(organ, pictures, as_json=json_output))


@app.command()
def status(config: Config = None, json_output: Json = False) -> None:
    """Counts by state, queue, oldest waiting, last received, free disk."""
    from node.console import show_status

    _exit_with(show_status(_stores(config), as_json=json_output))


@app.command()
def prune(
    config: Config = None,
    json_output: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove the bytes of what is done with for longer than retention.days; a running node does so every hour."""
    from node.console import prune as prune_now
    from node.settings import read_settings
    from node.stores import Stores

    settings = read_settings(config)
    _exit_with(prune_now(Stores.open(settings), settings.retention.days, rehearse=dry_run, as_json=json_output))


@app.command()
def jobs(
    config: Config = None,
    json_output: Json = False,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    patient: Annotated[str | None, typer.Option(help="Only jobs of this Patient ID.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only jobs created since (local time).")] = None,
) -> None:
    """List the jobs, newest first."""
    from node.console import show_jobs

    _exit_with(show_jobs(_stores(config), state=state, patient=patient, since=since, as_json=json_output))


@app.command()
def show(job: str, config: Config = None, json_output: Json = False) -> None:
    """Show one job: each step with its time, the reason if it was refused, the objects and where they are."""
    from node.console import show_job

    _exit_with(show_job(_stores(config), job, as_json=json_output))


@app.command()
def retry(job: str, config: Config = None) -> None:
    """Run a refused or quarantined job again, or send its failed deliveries again."""
    from node.domain.identifiers import JobId

    _stores(config).jobs.retry(JobId(job))
    typer.echo(f"job {job} is queued again")


@app.command()
def send(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files or folders of them.", exists=True)],
    to: Annotated[str, typer.Option("--to", help="AE@HOST:PORT")],
    calling: Annotated[str, typer.Option(help="Calling AE title.")] = "CELADON-SEND",
) -> None:
    """Store files as a PACS would."""
    from node.console import send_files_to

    _exit_with(send_files_to(paths, to, calling))


@db.command()
def upgrade(config: Config = None) -> None:
    """Bring the database to the schema that this program needs."""
    from node.settings import read_settings
    from node.store.session import Database

    Database(read_settings(config).url).upgrade()
    typer.echo("the database is up to date")


@models.command("list")
def list_models(config: Config = None, json_output: Json = False) -> None:
    """List the bundles: what each is for, its digest, how far it is trained, what it says of itself, who uses it."""
    from node.model_commands import show_models
    from node.settings import read_settings

    _exit_with(show_models(read_settings(config), as_json=json_output))


@models.command()
def verify(config: Config = None, json_output: Json = False) -> None:
    """Read every byte of every bundle and compare with what was recorded; exit code 1 when one differs."""
    from node.model_commands import verify_models
    from node.settings import read_settings

    _exit_with(verify_models(read_settings(config), as_json=json_output))


@models.command()
def add(
    what: Annotated[str, typer.Argument(metavar="PATH", help="A bundle's folder; with --checkpoint: gtrnet.")],
    config: Config = None,
    name: Annotated[
        str | None, typer.Option(help="What it is called here (with --checkpoint: gtrnet-published).")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="The digest to expect: of the bundle, or of the checkpoint file.")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="The checkpoint that the authors published.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put a bundle of this name aside, for restore.")] = False,
) -> None:
    """Add a bundle: copied, checked, tried once, its digest recorded. A rule uses it once the settings name it.

    celadon models add ./my-bundle --name site-a takes a folder; celadon models add gtrnet --checkpoint models.pth makes
    a bundle from the checkpoint that the authors of GTRNet published, which nothing but its tensors is read from.
    """
    from node.model_commands import add_bundle, add_checkpoint
    from node.settings import read_settings
    from node.stores import Stores

    settings = read_settings(config)
    stores = Stores.open(settings)
    if checkpoint is None:
        _exit_with(add_bundle(settings, stores, Path(what), name, sha256=sha256, replace=replace))
    else:
        _exit_with(add_checkpoint(settings, stores, what, checkpoint, name, sha256=sha256, replace=replace))


@models.command()
def remove(name: str, config: Config = None) -> None:
    """Put an added bundle aside; restore brings it back."""
    from node.model_commands import remove_bundle
    from node.settings import read_settings
    from node.stores import Stores

    settings = read_settings(config)
    _exit_with(remove_bundle(settings, Stores.open(settings), name))


@models.command()
def restore(name: str, config: Config = None) -> None:
    """Bring back the bundle that the last replacement or removal put aside."""
    from node.model_commands import restore_bundle
    from node.settings import read_settings
    from node.stores import Stores

    settings = read_settings(config)
    _exit_with(restore_bundle(settings, Stores.open(settings), name))


def main() -> None:
    """Run the command; errors are one line, and exit codes as documented."""
    _exit_with(_run(app))


def _run(command: Callable[..., Any]) -> int:
    try:
        command(standalone_mode=False)
    except CeladonError as exc:
        typer.echo(f"celadon: {exc}", err=True)
        return WRONG_USAGE if isinstance(exc, UsageError) else NOT_WELL
    except typer.Exit as exc:
        return int(exc.exit_code)
    except typer.Abort:
        return NOT_WELL
    except Exception as exc:
        if hasattr(exc, "exit_code") and hasattr(exc, "show"):
            exc.show()
            return int(exc.exit_code)
        raise
    return 0


def _exit_with(code: int) -> None:
    if code:
        raise SystemExit(code)


def _replace_by(module: str, task: str, config: Path | None) -> NoReturn:
    """Become ``python -m module task``: the same process, so that signals and exit codes are its own."""
    common = ["--config", str(config)] if config else []
    os.execv(sys.executable, [sys.executable, "-m", module, task, *common])  # noqa: S606 — our own interpreter


def _count_in_archive(settings: "Settings") -> "CountInArchive | None":
    """How the archive that ``completion.query_peer`` names is asked for its count; None when it names none."""
    from node.dicom.peer import Peer
    from node.dicom.query import count_instances
    from node.domain.identifiers import AeTitle

    if settings.completion.query_peer is None:
        return None
    pacs = settings.pacs[settings.completion.query_peer]
    peer = Peer(AeTitle(pacs.ae_title), pacs.host, pacs.port)
    return lambda study, series: count_instances(peer, settings.dicom.ae_title, study, series, COUNT_WITHIN_S)


def _stores(config: Path | None) -> "Stores":
    from node.settings import read_settings
    from node.stores import Stores

    return Stores.open(read_settings(config))


if __name__ == "__main__":
    main()
