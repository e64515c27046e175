"""Signing in and out with an account of this node."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from node.domain.access import Role
from node.domain.audit import AuditAction, AuditOutcome
from node.web import passwords
from node.web.access import TheSite, end_session, find_person, is_secure, require_meant, start_session
from node.web.showing import SEE_OTHER, show
from node.web.site import Site

router = APIRouter(include_in_schema=False)

_LONGEST: Final = 256
_WRONG: Final = "Name or password is wrong."
_TOO_OFTEN: Final = "Too many attempts. Try again in a minute."


@router.get("/login")
def form(request: Request, site: TheSite) -> Response:
    """The form."""
    return _form(request, site, "", 200)


@router.post("/login", dependencies=[Depends(require_meant)])
def sign_in(
    request: Request,
    site: TheSite,
    name: Annotated[str, Form(max_length=_LONGEST)] = "",
    password: Annotated[str, Form(max_length=_LONGEST)] = "",
) -> Response:
    """Look at name and password."""
    address = request.client.host if request.client else ""
    keys = (f"address {address}", f"name {name.lower()}")
    if any(site.sign_ins.is_empty(key) for key in keys):
        return _form(request, site, _TOO_OFTEN, 429)
    user = site.stores.users.find(name)
    if not passwords.is_right(user.password if user else None, password) or user is None:
        for key in keys:
            site.sign_ins.take(key)
        # Not the name: people type passwords into the wrong field.
        site.tell("somebody", AuditAction.SIGN_IN_REFUSED, AuditOutcome.REFUSED, {"address": address})
        return _form(request, site, _WRONG, 401)
    if passwords.is_outdated(user.password):
        site.stores.users.replace_password(user.name, passwords.hashed(password))
    return begin(request, site, user.name, user.role, is_local=True)


@router.post("/logout", dependencies=[Depends(require_meant)])
def sign_out(request: Request, site: TheSite) -> Response:
    """End the session."""
    person = find_person(request, site)
    response = RedirectResponse("/login", SEE_OTHER)
    end_session(request, response, site)
    if person is not None:
        site.tell(person, AuditAction.SIGNED_OUT)
    return response


def begin(request: Request, site: Site, name: str, role: Role, *, is_local: bool) -> Response:
    """Begin a session and lead to the worklist."""
    secret = site.stores.users.begin_session(name, role, is_local=is_local)
    address = request.client.host if request.client else ""
    details: dict[str, str | int | float] = {"address": address, "role": role.value, "local": int(is_local)}
    site.tell(f"person {name}", AuditAction.SIGNED_IN, details=details)
    response = RedirectResponse("/", SEE_OTHER)
    start_session(response, site.settings.web, secret)
    return response


def _form(request: Request, site: Site, wrong: str, status: int) -> Response:
    web = site.settings.web
    is_plain = is_secure(web) and request.url.scheme != "https" and web.public_url is None
    return show(
        request, site, None, "login.html", status, wrong=wrong, has_oidc=web.oidc is not None, is_plain=is_plain
    )
