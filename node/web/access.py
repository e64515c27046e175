"""Who is asking, whether they may, and whether they meant to: sessions, tokens, and forged requests."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Depends, Form, Header, HTTPException, Request, Response

from node.domain.access import Permission, Person, Role
from node.domain.audit import AuditAction, AuditOutcome
from node.settings import WebSettings
from node.web.site import Site

_SESSION: Final = "celadon_session"
_VISIT: Final = "celadon_visit"
_LOCAL: Final = "local user"
_VISIT_BYTES: Final = 24
UNATTENDED: Final = "x-unattended"
"""A header of requests that a page makes by itself, to show what has changed."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({"", "same-origin", "none"})


class NotSignedIn(Exception):
    """Nobody is signed in; pages lead to the form, programs get 401."""


class NotMeant(Exception):
    """A request that changes something did not come from a page of ours, or from one that is too old."""


def site_of(request: Request) -> Site:
    """The site that a request is to."""
    site: Site = request.app.state.site
    return site


TheSite = Annotated[Site, Depends(site_of)]


def is_secure(web: WebSettings) -> bool:
    """Whether cookies are kept from plain HTTP: always, but on loopback and where somebody has chosen plain HTTP."""
    return web.is_https or not (web.is_local or (web.public_url or "").startswith("http:"))


def _cookie_name(name: str, web: WebSettings) -> str:
    # The prefix has browsers refuse one that another host or plain HTTP has set (RFC 6265bis section 4.1.3).
    return f"__Host-{name}" if is_secure(web) else name


def set_cookie(response: Response, web: WebSettings, name: str, value: str) -> None:
    """A cookie that no script reads, no other site sends, and the browser forgets when it is closed."""
    response.set_cookie(_cookie_name(name, web), value, secure=is_secure(web), httponly=True, samesite="lax", path="/")


def start_session(response: Response, web: WebSettings, secret: str) -> None:
    """Have the browser keep the secret of a session; forms of the visit before are void."""
    set_cookie(response, web, _SESSION, secret)
    set_cookie(response, web, _VISIT, secrets.token_urlsafe(_VISIT_BYTES))


def end_session(request: Request, response: Response, site: Site) -> None:
    """Sign out, here and in the database."""
    if secret := session_secret(request, site.settings.web):
        site.stores.users.end_session(secret)
    for name in (_SESSION, _VISIT):
        full = _cookie_name(name, site.settings.web)
        response.delete_cookie(full, secure=is_secure(site.settings.web), httponly=True, samesite="lax")


def session_secret(request: Request, web: WebSettings) -> str:
    """What the session cookie holds; empty without one."""
    return request.cookies.get(_cookie_name(_SESSION, web), "")


def visit_of(request: Request, web: WebSettings) -> str:
    """What the cookie of a visit holds, which everybody gets with the first page; empty without one."""
    return request.cookies.get(_cookie_name(_VISIT, web), "")


def keep_visit(request: Request, response: Response, visit: str, web: WebSettings) -> None:
    """Have the browser keep ``visit`` when it is new."""
    if visit != visit_of(request, web):
        set_cookie(response, web, _VISIT, visit)


def new_visit() -> str:
    """A visit that begins."""
    return secrets.token_urlsafe(_VISIT_BYTES)


def csrf_token(site: Site, visit: str) -> str:
    """What forms of a visit carry, and what nobody else can make."""
    return hmac.new(site.secret, f"csrf {visit}".encode(), hashlib.sha256).hexdigest()


def find_person(request: Request, site: Site, *, is_attended: bool = True) -> Person | None:
    """Who is asking; None for nobody that is known.

    ``is_attended``: whether a person may be behind it: a page left open keeps nobody signed in.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return site.stores.users.of_token(token.strip())
    if secret := session_secret(request, site.settings.web):
        attended = is_attended and UNATTENDED not in request.headers
        person = site.stores.users.of_session(secret, site.lifetimes, is_attended=attended)
        if person is not None:
            return person
    return Person(_LOCAL, Role.ADMIN, "local") if site.is_open else None


def require_meant(
    request: Request,
    site: TheSite,
    csrf: Annotated[str, Form()] = "",
    x_csrf_token: Annotated[str, Header()] = "",
    sec_fetch_site: Annotated[str, Header()] = "",
) -> None:
    """Refuse what changes something and was not sent by a page of ours (OWASP: synchroniser token, fetch metadata)."""
    if request.method in _SAFE or request.headers.get("authorization", "").lower().startswith("bearer "):
        return
    visit = visit_of(request, site.settings.web)
    right = csrf_token(site, visit)
    given = x_csrf_token or csrf
    if not visit or sec_fetch_site not in _OWN_SITES or not hmac.compare_digest(right.encode(), given.encode()):
        raise NotMeant


def require_json(
    request: Request,
    content_type: Annotated[str, Header()] = "",
    sec_fetch_site: Annotated[str, Header()] = "",
    origin: Annotated[str, Header()] = "",
) -> None:
    """Refuse what changes something and may have been sent by a page of somebody else's.

    Programs send neither of the two headers that browsers send; and no page elsewhere can send JSON unasked (CORS).
    """
    if request.method in _SAFE:
        return
    ours = not origin or origin == str(request.base_url).rstrip("/")
    if content_type.partition(";")[0].strip() != "application/json" or sec_fetch_site not in _OWN_SITES or not ours:
        raise NotMeant


def allowed(permission: Permission) -> Callable[..., Person]:
    """A dependency of pages: the person who is asking, if they may; what they change, they must have meant."""

    def check(request: Request, site: TheSite, _: Annotated[None, Depends(require_meant)]) -> Person:
        return _permitted(request, site, permission)

    return check


def allowed_api(permission: Permission) -> Callable[..., Person]:
    """A dependency of the API: as ``allowed``, for programs."""

    def check(request: Request, site: TheSite, _: Annotated[None, Depends(require_json)]) -> Person:
        return _permitted(request, site, permission)

    return check


def _permitted(request: Request, site: Site, permission: Permission) -> Person:
    person = find_person(request, site)
    if person is None:
        raise NotSignedIn
    if not person.may(permission):
        details: dict[str, str | int | float] = {"what": permission.value, "role": person.role.value}
        site.tell(person, AuditAction.ACCESS_REFUSED, AuditOutcome.REFUSED, details)
        raise HTTPException(403, f"A {person.role} may not {permission}.")
    return person
