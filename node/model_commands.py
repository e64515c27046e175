"""What ``celadon models`` does and prints: a table for people, a document for programs. Loads no model library."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from models import trial
from models.bundle import Bundle
from models.bundle_store import Entry, Library, checked_digest
from models.checkpoints.conversion import convert
from models.checkpoints.known import published
from models.selection import choices
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.errors import BundleError, CeladonError, UsageError
from node.settings import BundleChoice, Settings

if TYPE_CHECKING:
    from node.stores import Stores

NOT_WELL: Final = 1
DIGEST_CHARACTERS: Final = 12
_PUBLISHED_SUFFIX: Final = "-published"


@dataclass(frozen=True, slots=True)
class Line:
    """What is known of a bundle without reading its weights."""

    name: str
    predictor: str
    anatomy: str
    version: str
    digest: str
    """The recorded one; empty when none is."""
    status: str
    disclaimer: str
    origin: str
    """``shipped`` or ``added``."""
    added_at: str
    in_use_by: tuple[str, ...]
    """Predictors that the settings have made from it."""
    problem: str
    """Why it would not be loaded; empty when nothing is known against it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a bundle's bytes say, beside what was recorded and pinned."""

    name: str
    origin: str
    digest: str
    """The recorded one; empty when none is."""
    in_use_by: tuple[str, ...]
    is_well: bool
    fault: str
    """A code; empty when it is well."""
    detail: str


def show_models(settings: Settings, *, as_json: bool) -> int:
    """The bundles of this node; 1 when one of them could not be loaded, or a chosen one is not there."""
    library, using = Library(settings.models_dir), choices(settings)
    lines = [_line(entry, using) for entry in library.entries()]
    missing = _missing(library, using)
    if as_json:
        _print_json({"bundles": [asdict(line) for line in lines], "missing": missing})
    else:
        _print_lines(lines)
        _print_missing(missing)
    return NOT_WELL if missing or any(line.problem for line in lines) else 0


def verify_models(settings: Settings, *, as_json: bool) -> int:
    """Every byte of every bundle against its record; 1 when one differs, or a chosen one is not there."""
    library, using = Library(settings.models_dir), choices(settings)
    verdicts = [_verdict(entry, using) for entry in library.entries()]
    missing = _missing(library, using)
    is_well = not missing and all(verdict.is_well for verdict in verdicts)
    if as_json:
        _print_json({"well": is_well, "bundles": [asdict(verdict) for verdict in verdicts], "missing": missing})
    else:
        table = Table("bundle", "here", "sha256", title="Model bundles, every byte read")
        table.add_column("result", overflow="fold")  # two digests that differ in the end are told apart
        for verdict in verdicts:
            result = "as recorded" if verdict.is_well else verdict.detail
            here = _joined(verdict.origin, "in use" if verdict.in_use_by else "")
            table.add_row(*_texts(verdict.name, here, verdict.digest[:DIGEST_CHARACTERS], result))
        Console().print(table)
        _print_missing(missing)
    return 0 if is_well else NOT_WELL


def add_bundle(
    settings: Settings, stores: "Stores", path: Path, name: str | None, *, sha256: str | None, replace: bool
) -> int:
    """Take a copy of the bundle at ``path`` under ``name``."""
    if name is None:
        raise UsageError("--name is needed: what the bundle is to be called here")
    if not path.is_dir():
        raise UsageError(f"{path}: there is no such folder; to convert a checkpoint, name it with --checkpoint")
    library = Library(settings.models_dir)
    with _audited(stores, AuditAction.MODEL_ADDED, {"name": name}) as details:
        bundle = library.add(path, name, trial=trial.run, expected_digest=sha256, replace=replace)
        details.update(_facts(bundle))
    _say_added(bundle, name, choices(settings))
    return 0


def add_checkpoint(
    settings: Settings,
    stores: "Stores",
    known_as: str,
    checkpoint: Path,
    name: str | None,
    *,
    sha256: str | None,
    replace: bool,
) -> int:
    """Make a bundle from the published checkpoint file ``checkpoint`` and take it under ``name``."""
    known, name = published(known_as), name or f"{known_as}{_PUBLISHED_SUFFIX}"
    expected, library = checked_digest(sha256), Library(settings.models_dir)
    library.require_free(name, replace=replace)
    with _audited(stores, AuditAction.MODEL_ADDED, {"name": name}) as details, library.staging() as staging:
        made = staging / known.name
        made.mkdir()
        source = convert(checkpoint, known, made, expected)
        details.update(checkpoint_sha256=source.sha256, as_published=int(source.is_published))
        bundle = library.add(made, name, trial=trial.run, replace=replace)
        details.update(_facts(bundle))
    _say_added(bundle, name, choices(settings))
    return 0


def remove_bundle(settings: Settings, stores: "Stores", name: str) -> int:
    """Put an added bundle aside that no predictor is made from."""
    if using := _used_by(name, choices(settings)):
        raise UsageError(f"{name}: in use (models.{using[0]} in the settings); choose another bundle there first")
    with _audited(stores, AuditAction.MODEL_REMOVED, {"name": name}) as details:
        entry = Library(settings.models_dir).remove(name)
        details.update(digest=entry.digest or "")
    _say(f"{name} is put aside; celadon models restore {name} brings it back")
    return 0


def restore_bundle(settings: Settings, stores: "Stores", name: str) -> int:
    """Bring back what was put aside under a name."""
    with _audited(stores, AuditAction.MODEL_RESTORED, {"name": name}) as details:
        bundle = Library(settings.models_dir).restore(name)
        details.update(_facts(bundle))
    _say_added(bundle, name, choices(settings), "restored")
    return 0


def _line(entry: Entry, using: Mapping[str, BundleChoice]) -> Line:
    """What can be said of a bundle; one that is broken has a line that says so."""
    line = partial(
        Line,
        name=entry.name,
        digest=entry.digest or "",
        origin=_origin(entry),
        added_at=entry.added_at,
        in_use_by=_used_by(entry.name, using),
    )
    try:
        bundle = Bundle.glance(entry.path, entry.digest or "")
        version = bundle.metadata.text("version")
    except BundleError as error:
        return line(predictor="", anatomy="", version="", status="", disclaimer="", problem=str(error))
    return line(
        predictor=bundle.predictor,
        anatomy=bundle.anatomy.key,
        version=version,
        status=bundle.status.value,
        disclaimer=bundle.disclaimer,
        problem="" if entry.digest else "its digest is not recorded: it is not loaded",
    )


def _verdict(entry: Entry, using: Mapping[str, BundleChoice]) -> Verdict:
    """The bundle opened as a worker opens it."""
    users = _used_by(entry.name, using)
    fault, detail = "", ""
    try:
        # One bundle may be pinned for several predictors: every pin must hold.
        for pinned in {using[user].digest for user in users} or {None}:
            entry.open(pinned)
    except BundleError as error:
        fault, detail = error.fault.name, str(error)
    return Verdict(entry.name, _origin(entry), entry.digest or "", users, not fault, fault, detail)


def _missing(library: Library, using: Mapping[str, BundleChoice]) -> dict[str, str]:
    """Predictor to the bundle that the settings name for it and that is not there."""
    there = {entry.name for entry in library.entries()}
    return {predictor: choice.name for predictor, choice in using.items() if choice.name not in there}


def _used_by(name: str, using: Mapping[str, BundleChoice]) -> tuple[str, ...]:
    return tuple(predictor for predictor, choice in using.items() if choice.name == name)


def _origin(entry: Entry) -> str:
    return "shipped" if entry.is_shipped else "added"


def _facts(bundle: Bundle) -> dict[str, str | int | float]:
    """What the audit trail keeps of a bundle."""
    return {"predictor": bundle.predictor, "digest": bundle.digest, "status": bundle.status.value}


@contextmanager
def _audited(
    stores: "Stores", action: AuditAction, about: dict[str, str | int | float]
) -> Iterator[dict[str, str | int | float]]:
    """Record how it ended, whichever way it does, with what the block adds to the details."""
    details = dict(about)
    outcome = AuditOutcome.FAILURE
    try:
        yield details
        outcome = AuditOutcome.SUCCESS
    except CeladonError as error:
        outcome = AuditOutcome.REFUSED
        details["fault"] = error.fault.name if isinstance(error, BundleError) else type(error).__name__
        raise
    finally:
        stores.audit.record(AuditEvent(datetime.now(UTC), "operator", action, outcome, details=details))


def _say_added(bundle: Bundle, name: str, using: Mapping[str, BundleChoice], done: str = "added") -> None:
    _say(f"{done} {name}: {bundle.predictor}, {bundle.status.value}")
    if bundle.disclaimer:
        _say(f"every result will say: {bundle.disclaimer}")
    _say(f"sha256 {bundle.digest}")
    if name in {choice.name for choice in using.values()}:
        _say("in use: workers take it when they are started again")
    else:
        _say(f'to use it: {bundle.predictor} = "{name}" under [models] in the settings, then start the workers again')


def _print_lines(lines: list[Line]) -> None:
    table = Table(title="Model bundles")
    # The name is what the settings and the other commands ask for: it is never cut.
    table.add_column("bundle", no_wrap=True)
    for column in ("for", "version, sha256", "training", "here"):
        table.add_column(column)
    for line in lines:
        training = line.problem or _joined(line.status, line.disclaimer)
        digest = line.digest[:DIGEST_CHARACTERS]
        here = _joined(line.origin, "in use" if line.in_use_by else "")
        cells = (_joined(line.predictor, line.anatomy), _joined(line.version, digest), training, here)
        table.add_row(*_texts(line.name, *cells))
    Console().print(table)


def _joined(*words: str) -> str:
    """The words that there are, one a line."""
    return "\n".join(dict.fromkeys(word for word in words if word))


def _print_missing(missing: dict[str, str]) -> None:
    for predictor, name in missing.items():
        _say(f"models.{predictor} in the settings names {name!r}: there is no such bundle")


def _texts(*cells: str) -> Iterator[Text]:
    """Cells as they are: a bundle's author cannot draw on the terminal."""
    return (Text("".join(one if one.isprintable() or one == "\n" else "?" for one in cell)) for cell in cells)


def _say(sentence: str) -> None:
    Console().print(*_texts(sentence), soft_wrap=True, highlight=False)


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))  # noqa: T201 — the promised document
