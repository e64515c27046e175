"""Showing a page: the template with what every page has, and the way back after something was done."""

import hashlib
import hmac
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from node.domain.access import Permission, Person
from node.settings import Mode
from node.web.access import csrf_token, keep_visit, new_visit, visit_of
from node.web.site import Site

SEE_OTHER: Final = 303
_SEAL_CHARACTERS: Final = 32


def show(
    request: Request, site: Site, person: Person | None, template: str, status: int = 200, **values: Any
) -> Response:
    """A whole page."""
    web = site.settings.web
    visit = visit_of(request, web) or new_visit()
    response = site.pages.answer(
        request,
        template,
        status,
        person=person,
        permissions=Permission,
        csrf=csrf_token(site, visit),
        silence=_silence(site),
        version=site.version,
        done=_said(request, site, "done"),
        problem=_said(request, site, "problem"),
        **values,
    )
    keep_visit(request, response, visit, web)
    return response


def _silence(site: Site) -> str:
    """What of this node is silent, as a sentence; empty when nothing is."""
    settings = site.settings
    silent = [rule.predictor for rule in settings.rules if settings.mode_of(rule) is Mode.SILENT]
    if settings.mode is Mode.SILENT or (silent and len(silent) == len(settings.rules)):
        return "Silent mode: results are recorded and blinded, and nothing is delivered."
    names = ", ".join(dict.fromkeys(silent))
    return f"Silent mode for {names}: its results are recorded and blinded, and not delivered." if silent else ""


def back_to(request: Request, site: Site, path: str, *, done: str = "", problem: str = "") -> Response:
    """Lead to a page of ours after something was done, which says what came of it."""
    kind, words = ("problem", problem) if problem else ("done", done)
    query = "?" + urlencode({kind: words, "seal": _seal(site, kind, words)})
    if request.headers.get("hx-request"):
        return Response(status_code=204, headers={"hx-redirect": f"{path}{query}"})
    return RedirectResponse(f"{path}{query}", SEE_OTHER)


def as_sentence(error: Exception) -> str:
    """What an error says, as a sentence."""
    words = str(error)
    return f"{words[:1].upper()}{words[1:]}."


def _said(request: Request, site: Site, kind: str) -> str:
    """What the address has the page say, if we have said so: nobody else puts words into our mouth."""
    words, given = request.query_params.get(kind, ""), request.query_params.get("seal", "")
    return words if hmac.compare_digest(_seal(site, kind, words).encode(), given.encode()) else ""


def _seal(site: Site, kind: str, words: str) -> str:
    return hmac.new(site.secret, f"said {kind} {words}".encode(), hashlib.sha256).hexdigest()[:_SEAL_CHARACTERS]
