"""The ``celadon`` command. Everything heavy is imported inside the command that needs it, so that help is instant."""

import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from node import audit_commands, clinical_commands, outcome_commands, research_commands, user_commands
from node.errors import CeladonError, UsageError

if TYPE_CHECKING:
    from node.dicom.commitment import Desk
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
app.add_typer(user_commands.app, name="users")
app.add_typer(audit_commands.app, name="audit")
app.add_typer(research_commands.biomarker, name="biomarker")
app.add_typer(research_commands.readers, name="readers")
app.add_typer(research_commands.sample_size, name="sample-size")
app.add_typer(research_commands.published, name="published")
app.add_typer(outcome_commands.app, name="outcomes")

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (default: celadon.toml here, if any).")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]
ReadyFd = Annotated[int | None, typer.Option("--ready-fd", hidden=True)]
Parent = Annotated[int | None, typer.Option("--parent", hidden=True)]


class WorkQueue(StrEnum):
    """Whose work a machine does."""

    CPU = "cpu"
    GPU = "gpu"
    ALL = "all"


NOT_WELL: Final = 1
WRONG_USAGE: Final = 2
COUNT_WITHIN_S: Final = 5.0
"""An archive that takes longer to answer a query is asked again later."""


@app.command()
def up(config: Config = None) -> None:
    """Run the whole node on this machine: listener, workers, deliverer and page. SIGTERM drains and stops it."""
    _replace_by("node.supervisor", "up", config)


@app.command()
def work(
    config: Config = None,
    queue: Annotated[WorkQueue, typer.Option(help="cpu: headers, contours, delivery; gpu: models.")] = WorkQueue.ALL,
) -> None:
    """Run the working processes alone: analysers, and a deliverer where the CPU's work is done."""
    _replace_by("node.supervisor", "work", config, "--queue", queue.value)


@app.command()
def listen(config: Config = None, ready_fd: ReadyFd = None, parent: Parent = None) -> None:
    """Run the DICOM listener alone."""
    from node import failpoints, log
    from node.dicom.completion import CompletionWatch
    from node.dicom.listener import Listener
    from node.housekeeping import tidy_in_background
    from node.prioritising import Prioritised
    from node.settings import read_settings
    from node.stopping import StopRequest
    from node.store.counters import Counted
    from node.stores import Stores

    log.configure("listener")
    if armed := failpoints.arm(os.environ):
        log.get().warning(log.FAILPOINT_ARMED, detail=armed)
    settings = read_settings(config)
    stores = Stores.open(settings, intake=True)
    stop = StopRequest()
    stop.install()
    watch = CompletionWatch(
        Prioritised(stores, settings.rules),
        lambda uid: stores.inbox.series(uid).instances,
        quiet_min_s=settings.completion.quiet_min_s,
        quiet_max_s=settings.completion.quiet_max_s,
        count_in_archive=_count_in_archive(settings),
    )
    watch.resume(stores.inbox.collecting())
    counted = {"association": Counted.ASSOCIATION, "refusal": Counted.REFUSED_AT_DOOR}
    listener = Listener(
        settings.dicom,
        stores.inbox,
        watch,
        stores.audit,
        desk=_desk(settings, stores),
        count=lambda what, kind: stores.counters.add(counted[what], kind),
    )
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
def web(config: Config = None, ready_fd: ReadyFd = None, parent: Parent = None) -> None:
    """Run the page and the API alone."""
    from node.web.server import serve

    serve(config, ready_fd, parent)


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
def doctor(config: Config = None, json_output: Json = False) -> None:
    """Check everything that results depend on; each line says ok, warn or fail, and what helps."""
    from node.console import show_examination
    from node.doctor import examine
    from node.settings import read_settings

    _exit_with(show_examination(examine(read_settings(config)), as_json=json_output))


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
def retry(
    job: Annotated[str | None, typer.Argument(help="The job; none with --failed.")] = None,
    config: Config = None,
    destination: Annotated[str | None, typer.Option(help="Only what goes to this destination.")] = None,
    instance: Annotated[str | None, typer.Option("--object", help="Only this SOP Instance UID.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every delivery that waits for a person.")] = False,
) -> None:
    """Run a refused or quarantined job again, or send what was not delivered again."""
    from node.console import retry as retry_now

    _exit_with(retry_now(_stores(config), job, destination, instance, failed=failed))


@app.command()
def retract(
    job: str,
    reason: Annotated[str, typer.Option(help="Why, as readers and the audit trail see it; no patient data.")],
    config: Config = None,
    by: Annotated[str | None, typer.Option(help="Who withdraws it (default: the user of the system).")] = None,
) -> None:
    """Withdraw what was sent of a job, visibly: a rejection note and a notice go wherever its results went."""
    from node import retraction
    from node.settings import read_settings
    from node.stores import Stores

    settings = read_settings(config)
    done = retraction.retract(Stores.open(settings), settings, job, reason=reason, by=by)
    where = ", ".join(done.destinations) or "nowhere, since nothing was sent"
    typer.echo(f"job {job} is retracted: {len(done.objects)} objects; the rejection note and the notice go to {where}")


@app.command()
def unblind(
    reason: Annotated[str, typer.Option(help="Why; no patient data.")],
    by: Annotated[str, typer.Option(help="Who unblinds.")],
    job: Annotated[str | None, typer.Argument(help="The job; none with --predictor.")] = None,
    config: Config = None,
    predictor: Annotated[str | None, typer.Option(help="Every result of this predictor.")] = None,
) -> None:
    """Show a result of silent mode from now on, or all of a predictor at the end of a silent trial."""
    findings = _stores(config).findings
    if (job is None) == (predictor is None):
        raise UsageError("say which job, or --predictor")
    if job is not None:
        findings.unblind(job, by, reason)
    count = findings.unblind_all(predictor, by, reason) if predictor is not None else 1
    typer.echo(f"{count} results are shown from now on")


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
    from node.stores import open_database

    open_database(read_settings(config)).upgrade()
    typer.echo("the database is up to date")


@app.command()
def evaluate(  # noqa: PLR0913, PLR0917 — one argument an option
    predictions: Annotated[Path | None, typer.Option(help="CSV of recorded predictions: case, p_<class>…")] = None,
    labels: Annotated[Path | None, typer.Option(help="CSV of what is true: case, label, and more.")] = None,
    cohort: Annotated[
        Path | None, typer.Option(help="Instead: CSV of images to be analysed by --bundle: case, image, mask, label…")
    ] = None,
    from_node: Annotated[bool, typer.Option("--from-node", help="Instead: what this node has recorded.")] = False,
    since: Annotated[datetime | None, typer.Option(help="With --from-node: of series completed since.")] = None,
    until: Annotated[datetime | None, typer.Option(help="With --from-node: and before.")] = None,
    outcomes: Annotated[
        Path | None, typer.Option(help="With --from-node: CSV of what is true, by study_uid, accession or patient_id.")
    ] = None,
    predictor: Annotated[str, typer.Option(help="With --from-node: whose results (default: the only one's).")] = "",
    regions: Annotated[str, typer.Option(help="With --cohort: masks, or segmenter (masks are compared).")] = "masks",
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("celadon-evaluation"),
    positive_from: Annotated[str, typer.Option(help="First positive class (default: the upper half).")] = "",
    cut_from: Annotated[str, typer.Option(help="Set that chooses a cut, to be applied to the others.")] = "",
    bundle: Annotated[str, typer.Option(help="Bundle that predicts or did: its card joins the report.")] = "",
    title: Annotated[str, typer.Option(help="The report's title.")] = "",
    draws: Annotated[int, typer.Option(min=100, max=100_000, help="Bootstrap draws.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws: the same one gives the same figures.")] = 0,
    config: Config = None,
    json_output: Json = False,
) -> None:
    """Measure a model on a cohort's images, on recorded predictions, or on what this node has said (silent or not).

    Writes a report as HTML, PDF and JSON.
    """
    from node import evaluation_commands
    from node.settings import read_settings

    asked = evaluation_commands.Asked(
        predictions, labels, out, positive_from, cut_from, bundle, title, draws, seed, cohort, from_node, regions
    )
    only_recorded = {"--since": since, "--until": until, "--outcomes": outcomes, "--predictor": predictor}
    evaluation_commands.check_recorded(asked, only_recorded)
    evaluation_commands.check(asked)
    if cohort is not None:
        _become("workers.evaluation", *evaluation_commands.arguments(asked, config, as_json=json_output))
    settings = read_settings(config)
    if from_node:
        from node.recorded_commands import Recorded, evaluate_recorded

        recorded = Recorded(since, until, outcomes, predictor)
        _exit_with(evaluate_recorded(settings, asked, recorded, as_json=json_output))
    else:
        _exit_with(evaluation_commands.evaluate(settings, asked, as_json=json_output))


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def train(context: typer.Context, config: Config = None) -> None:
    """Train a model on a cohort or on phantoms; ends in a bundle. celadon train TASK --help says more."""
    from node.settings import read_settings

    if config is not None:
        read_settings(config)  # no training depends on the node's settings, but a file that is named must be right
    _become("models.training", *context.args)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def study(context: typer.Context) -> None:
    """Train and judge a paper's models on a cohort, and write its tables and figures: porcelain (seven models)."""
    _become("workers.study", *context.args)


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


def _replace_by(module: str, task: str, config: Path | None, *more: str) -> NoReturn:
    """Become ``python -m module task``: the same process, so that signals and exit codes are its own."""
    _become(module, task, *(("--config", str(config)) if config else ()), *more)


def _become(module: str, *arguments: str) -> NoReturn:
    """Become ``python -m module`` with these arguments."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 — our own interpreter


def _count_in_archive(settings: "Settings") -> "CountInArchive | None":
    """How the archive that ``completion.query_peer`` names is asked for its count; None when it names none."""
    from node.dicom.peer import Peer
    from node.dicom.query import count_instances

    if settings.completion.query_peer is None:
        return None
    peer = Peer.of(settings.archives[settings.completion.query_peer])
    return lambda study, series: count_instances(peer, settings.dicom.ae_title, study, series, COUNT_WITHIN_S)


def _desk(settings: "Settings", stores: "Stores") -> "Desk | None":
    """Who takes the reports of archives that are asked to commit; None when none is."""
    from node.dicom.commitment import Desk, reporters

    asked = reporters(settings.archives)
    return Desk(stores.commitments, asked) if asked else None


def _stores(config: Path | None) -> "Stores":
    from node.settings import read_settings
    from node.stores import Stores

    return Stores.open(read_settings(config))


if __name__ == "__main__":
    main()
