"""The audit trail on the page: searched, and exported as it is; looking at it is a row of it."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import StreamingResponse

from node.domain.access import Permission, Person
from node.domain.audit import AuditAction, AuditOutcome
from node.store.audit import AuditFilter, AuditRow
from node.store.chain import exported_heads, read_key, verify
from node.web.access import TheSite, allowed
from node.web.api import Feedback
from node.web.showing import show

router = APIRouter(include_in_schema=False)

PAGE: Final = 100
_LONGEST: Final = 128

Auditor = Annotated[Person, Depends(allowed(Permission.SEE_AUDIT))]
Exporter = Annotated[Person, Depends(allowed(Permission.EXPORT_AUDIT))]
VerdictExporter = Annotated[Person, Depends(allowed(Permission.EXPORT_VERDICTS))]


def wanted(  # noqa: D103 — a dependency: its parameters are the form's
    since: Annotated[str, Form(max_length=_LONGEST)] = "",
    until: Annotated[str, Form(max_length=_LONGEST)] = "",
    actor: Annotated[str, Form(max_length=_LONGEST)] = "",
    action: Annotated[str, Form(max_length=_LONGEST)] = "",
    subject: Annotated[str, Form(max_length=_LONGEST)] = "",
) -> AuditFilter:
    last = _day(until)
    return AuditFilter(
        since=_day(since),
        until=last + timedelta(days=1) if last else None,
        actor=actor.replace("\x00", "").strip(),
        action=action.replace("\x00", "").strip(),
        subject=subject.replace("\x00", "").strip(),
    )


Sought = Annotated[AuditFilter, Depends(wanted)]


@router.get("/audit")
def trail(request: Request, site: TheSite, person: Auditor) -> Response:
    """The newest rows."""
    return _page(request, site, person, AuditFilter(), None)


@router.post("/audit")
def search(
    request: Request,
    site: TheSite,
    person: Auditor,
    sought: Sought,
    before: Annotated[int | None, Form(ge=1, le=2**63 - 1)] = None,
) -> Response:
    """The rows that somebody looks for."""
    return _page(request, site, person, sought, before)


@router.post("/audit/verify")
def check(request: Request, site: TheSite, person: Auditor) -> Response:
    """Whether the chain is whole."""
    key = read_key(site.settings.audit_key_file)
    with site.stores.database.view() as connection:
        verified = verify(connection, key, exported_heads(site.settings.audit_heads_file, key))
    if verified.bad_row is not None:
        site.tell(person, AuditAction.TRAIL_BROKEN, AuditOutcome.FAILURE, {"row": verified.bad_row})
    return _page(request, site, person, AuditFilter(), None, verified=verified)


@router.post("/audit/export")
def export(site: TheSite, person: Exporter, sought: Sought, form: Annotated[str, Form()] = "csv") -> Response:
    """Every row that somebody looks for, as CSV or JSON lines."""
    site.tell(person, AuditAction.AUDIT_EXPORTED, details={"form": "json" if form == "json" else "csv"})
    rows = site.stores.audit.matching(sought)
    if form == "json":
        return _file(
            (json.dumps(as_document(row)) + "\n" for row in rows), "celadon-audit.jsonl", "application/x-ndjson"
        )
    return _file(_csv(map(as_document, rows)), "celadon-audit.csv", "text/csv; charset=utf-8")


@router.post("/verdicts/export")
def export_verdicts(site: TheSite, person: VerdictExporter, form: Annotated[str, Form()] = "csv") -> Response:
    """Every verdict, as CSV or JSON lines."""
    site.tell(person, AuditAction.VERDICTS_EXPORTED)
    rows = (Feedback.of(one).model_dump() | {"at": one.at.isoformat()} for one in site.stores.verdicts.all())
    if form == "json":
        return _file((json.dumps(row) + "\n" for row in rows), "celadon-verdicts.jsonl", "application/x-ndjson")
    return _file(_csv(rows), "celadon-verdicts.csv", "text/csv; charset=utf-8")


def as_document(row: AuditRow) -> dict[str, Any]:
    """A row of the trail as one writes it down."""
    return {"id": row.id, **row.event.as_row(), "at": row.event.at.isoformat()}


def _page(
    request: Request, site: TheSite, person: Person, sought: AuditFilter, before: int | None, **values: Any
) -> Response:
    rows = site.stores.audit.page(sought, before=before, limit=PAGE + 1)
    site.tell(person, AuditAction.AUDIT_VIEWED, details={"rows": min(len(rows), PAGE)})
    until = sought.until - timedelta(days=1) if sought.until else None
    return show(
        request,
        site,
        person,
        "audit.html",
        rows=rows[:PAGE],
        following=rows[PAGE - 1].id if len(rows) > PAGE else None,
        sought=sought,
        since=f"{sought.since.astimezone():%Y-%m-%d}" if sought.since else "",
        until=f"{until.astimezone():%Y-%m-%d}" if until else "",
        actions=sorted(AuditAction),
        now=datetime.now(UTC),
        **({"verified": None} | values),
    )


def _day(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone() if text else None
    except (ValueError, OverflowError):
        return None


def _csv(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    names: list[str] = []
    for row in rows:
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        if not names:
            names = list(row)
            writer.writerow(names)
        writer.writerow([_cell(value) for value in row.values()])
        yield buffer.getvalue()


def _cell(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP: CSV injection)."""
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _file(lines: Iterator[str], name: str, kind: str) -> StreamingResponse:
    return StreamingResponse(lines, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})
