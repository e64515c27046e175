"""What ``celadon clinical`` does and prints: a table for people, a document for programs."""

import io
import json
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from node.clinical.csv_file import LARGEST_BYTES, CsvFile, read_csv
from node.clinical.entered import entered
from node.clinical.export import export
from node.clinical_checks import Verdict, check_clinical
from node.dicom.deidentification import NotExported, deidentify
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.clinical import ValueReason, ValueState
from node.domain.clinical_intake import Intake, KnownValue
from node.domain.clinical_matching import contradicts
from node.domain.imaging import PatientIdentity
from node.domain.pseudonyms import PatientKey, Pseudonyms
from node.errors import UsageError
from node.settings import Settings
from node.stores import Stores

NOT_WELL: Final = 1
SHOWN_ERRORS: Final = 50
ROWS_AT_ONCE: Final = 500
"""In one transaction."""


def import_csv(stores: Stores, path: Path, *, rehearse: bool) -> int:
    """Import a file, or only say what would be imported; 1 when a row cannot be understood."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}") from exc
    found = read_csv(content, path.name, datetime.now(UTC))
    console = Console(highlight=False)
    _print_rows(console, path, found)
    if found.errors:
        console.print(f"nothing imported: {len(found.errors)} rows cannot be understood", markup=False)
        return NOT_WELL
    if rehearse:
        console.print(f"nothing imported (--dry-run): {len(found.values)} values would be", markup=False)
        return 0
    count, again = _store(stores, found)
    if found.values and not count:
        console.print("nothing imported: this very file has been imported before", markup=False)
    else:
        woken = f", {again} analyses begin again" if again else ""
        console.print(f"{count} values imported{woken}", markup=False)
    return 0


def _store(stores: Stores, found: CsvFile) -> tuple[int, int]:
    """How many values were stored, and how many analyses begin again.

    In parts, since the images' listener needs the database too; an import that was cut off goes on where it was.
    """
    values = [value for _, value in found.values]
    count = again = 0
    for start in range(0, len(values), ROWS_AT_ONCE):
        identity = replace(found.identity, control_id=f"{found.identity.control_id}:{start}")
        accepted = stores.clinical.accept(Intake(tuple(values[start : start + ROWS_AT_ONCE]), message=identity))
        count += len(accepted.value_ids)
        again += len(accepted.reopened)
    return count, again


def _print_rows(console: Console, path: Path, found: CsvFile) -> None:
    for error in found.errors[:SHOWN_ERRORS]:
        console.print(f"{path}:{error.line}: {error.message}", markup=False)
    if len(found.errors) > SHOWN_ERRORS:
        console.print(f"… and {len(found.errors) - SHOWN_ERRORS} more", markup=False)
    for line, value in found.values:
        read = value.read
        if read.reason is not None:
            words = f"{read.raw.variable.value} {read.state.value}: {read.reason.name} {read.reason.sentence}"
            console.print(f"{path}:{line}: {words}", markup=False)


def show_patient(stores: Stores, patient_id: str, issuer: str, *, as_json: bool) -> int:
    """What is known of a patient; 1 when something of it waits for a person."""
    known = stores.clinical.of(PatientIdentity(patient_id, issuer))
    imaged = stores.clinical.patients(patient_id)
    rows = [_described(value, imaged) for value in known]
    if as_json:
        _print_json({"patient_id": patient_id, "issuer": issuer, "values": rows})
    else:
        _print_values(rows)
    return NOT_WELL if any(row["state"] == ValueState.HELD for row in rows) else 0


def show_checks(settings: Settings, stores: Stores, *, as_json: bool) -> int:
    """How each source does; 1 when one of them fails."""
    checks = check_clinical(settings, stores)
    if as_json:
        _print_json({"checks": [asdict(check) for check in checks]})
    else:
        table = Table("check", "is", "detail", "mend", title="Clinical sources")
        for check in checks:
            table.add_row(check.name, check.verdict.value, check.detail, check.mend)
        Console(markup=False).print(table)
    return NOT_WELL if any(check.verdict is Verdict.FAIL for check in checks) else 0


def show_held(stores: Stores, *, as_json: bool) -> int:
    """Every value that waits for a person; 1 when there is one."""
    images: dict[str, Collection[PatientIdentity]] = {}
    rows = []
    for known in stores.clinical.all():
        patient_id = known.received.patient.patient_id
        if patient_id not in images:
            images[patient_id] = stores.clinical.patients(patient_id)
        row = _described(known, images[patient_id])
        if row["state"] == ValueState.HELD:
            rows.append({"patient_id": patient_id, "issuer": known.received.patient.issuer} | row)
    if as_json:
        _print_json({"values": rows})
    else:
        _print_values(rows)
    return NOT_WELL if rows else 0


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))  # noqa: T201 — the promised document


def _print_values(rows: list[dict[str, Any]]) -> None:
    table = Table(title=f"{len(rows)} clinical values")
    for name in ("id", "patient", "variable", "value", "observed", "source", "state", "reason"):
        table.add_column(name, overflow="fold")
    for row in rows:
        value = "" if row["value"] is None else f"{row['value']} {row['unit']}".rstrip()
        sent = f"{row['sent_value']} {row['sent_unit']}".rstrip()
        shown = value if value == sent or not sent else f"{value} (sent: {sent})".lstrip()
        observed = (row["observed_at"] or "")[:16]
        patient = row.get("patient_id", "")
        table.add_row(
            str(row["id"]), patient, row["variable"], shown, observed, row["source"], row["state"], row["reason"]
        )
    Console(markup=False).print(table)


def _described(known: KnownValue, imaged: Collection[PatientIdentity]) -> dict[str, Any]:
    received, read, state, reason = known.received, known.received.read, known.state, known.reason
    if state is ValueState.USABLE and not known.decided_by and _is_of_nobody(received.patient, imaged):
        state, reason = ValueState.HELD, ValueReason.PATIENT_CONTRADICTED
    observed = read.raw.observed_at
    return {
        "id": known.id,
        "variable": read.raw.variable.value,
        "value": read.value,
        "unit": read.unit,
        "sent_value": read.raw.text,
        "sent_unit": read.raw.unit,
        "observed_at": observed.astimezone().isoformat() if observed else None,
        "received_at": known.received_at.isoformat(),
        "source": received.source,
        "source_id": received.source_id,
        "state": state.value,
        "reason": reason.name if reason else "",
        "reason_text": reason.sentence if reason else "",
        "by": known.decided_by or received.by,
    }


def _is_of_nobody(patient: PatientIdentity, imaged: Collection[PatientIdentity]) -> bool:
    """Whether nobody who has images under this number can be the person that a value is of."""
    return bool(imaged) and all(contradicts(patient, one) for one in imaged)


def enter_value(
    stores: Stores,
    patient_id: str,
    issuer: str,
    variable: str,
    text: str,
    unit: str,
    by: str,
    observed: datetime | None,
) -> None:
    """Store a value that a person has typed."""
    moment = observed.astimezone() if observed else None
    patient = PatientIdentity(patient_id, issuer)
    value = entered(patient, variable, text, unit, by, datetime.now(UTC), moment)
    accepted = stores.clinical.accept(Intake((value,)))
    again = f"; {len(accepted.reopened)} analyses begin again" if accepted.reopened else ""
    words = f"{value.read.raw.variable.value}: {value.read.value} {value.read.unit}".rstrip()
    Console().print(f"{words} (value {accepted.value_ids[0]}){again}", markup=False, highlight=False)


def export_values(stores: Stores, out: Path, key_file: Path, images: Path | None) -> int:
    """Write all usable values without the patients, and their images into ``images``; nothing is overwritten.

    1 when there are images that may not leave.
    """
    try:
        pseudonyms = Pseudonyms(_key(key_file, images))
    except ValueError as exc:
        raise UsageError(f"{key_file}: {exc}") from exc
    values, canonical = stores.clinical.all(), stores.clinical.canonical()
    buffer = io.StringIO()
    count = export(values, canonical, pseudonyms, buffer)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(buffer.getvalue())
        if images is not None:
            images.mkdir()
    except OSError as exc:
        raise UsageError(f"{exc.filename}: {exc.strerror}") from exc
    details: dict[str, str | int | float] = {"count": count}
    console = Console(highlight=False)
    console.print(f"{count} values written to {out}", markup=False)
    refused: Counter[str] = Counter()
    if images is not None:
        patients = {
            canonical.get(key, key)
            for key in (value.received.patient.key() for value in values if value.state is ValueState.USABLE)
        }
        written, refused = _export_images(stores, patients, canonical, pseudonyms, images)
        details |= {"images": written, "images_kept_back": refused.total()}
        console.print(f"{written} images written to {images}", markup=False)
        for why, number in sorted(refused.items()):
            console.print(f"{number} images kept back: {why}", markup=False)
    action = AuditAction.CLINICAL_EXPORTED
    stores.audit.record(AuditEvent(datetime.now(UTC), "operator", action, AuditOutcome.SUCCESS, details=details))
    return NOT_WELL if refused else 0


def _key(key_file: Path, images: Path | None) -> bytes:
    if images is not None and images.resolve() in key_file.resolve().parents:
        raise UsageError(f"{key_file}: the key must not lie in what is exported")
    try:
        return key_file.read_bytes()
    except OSError as exc:
        raise UsageError(f"{key_file}: {exc.strerror}") from exc


def _export_images(
    stores: Stores,
    patients: set[PatientKey],
    canonical: dict[PatientKey, PatientKey],
    pseudonyms: Pseudonyms,
    folder: Path,
) -> tuple[int, Counter[str]]:
    """How many images of ``patients`` were written below ``folder``, and why others were not."""
    written, refused = 0, Counter[str]()
    for own, uid in stores.clinical.imaged():
        patient = canonical.get(own, own)
        if patient not in patients:
            continue
        instances = stores.inbox.series(uid).instances
        stores.blobs.bring(instance.path for instance in instances if instance.path is not None)
        for instance in instances:
            if instance.path is None:
                continue
            try:
                made = deidentify(instance.path, patient, pseudonyms)
            except NotExported as exc:
                refused[str(exc)] += 1
                continue
            where = folder / made.PatientID / made.StudyInstanceUID / made.SeriesInstanceUID
            where.mkdir(parents=True, exist_ok=True)
            made.save_as(where / f"{made.SOPInstanceUID}.dcm", enforce_file_format=True)
            written += 1
    return written, refused
