"""The application: routes, errors and layers put together."""

import json
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware

from node import log
from node.errors import Retryable
from node.web import api, audit, case, clinical, events, health, monitoring, sign_in, worklist
from node.web.access import NotMeant, NotSignedIn, find_person, is_secure
from node.web.events import Changes
from node.web.pages import STATIC
from node.web.security import Guard
from node.web.showing import SEE_OTHER, show
from node.web.site import Site

_OIDC_COOKIE: Final = "celadon_oidc"
_OIDC_WITHIN_S: Final = 600
_WORDS: Final = {404: "There is no such page.", 405: "That cannot be done here.", 403: "That is not allowed."}


def make_app(site: Site) -> FastAPI:
    """The application that serves ``site``."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.changes = Changes(site.stores.worklist)
        yield

    app = FastAPI(
        title="Celadon",
        version=site.version,
        description="Imaging decision support beside the PACS. Sign in with a token: `Authorization: Bearer …`.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.site = site
    app.state.changes = Changes(site.stores.worklist)
    for module in (worklist, case, clinical, events, audit, monitoring, sign_in, health, api):
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _answer_errors(app, site)
    _describe_access(app)
    if site.settings.web.oidc:
        _let_provider_sign_in(app, site)
    app.add_middleware(Guard, settings=site.settings.web, limit=site.requests)
    return app


def _let_provider_sign_in(app: FastAPI, site: Site) -> None:
    from node.web import oidc  # noqa: PLC0415 — Authlib is loaded where it is used: it takes a second

    app.include_router(oidc.router)
    # Holds state, nonce and verifier of a sign-in that is under way, signed, and nothing else.
    app.add_middleware(
        SessionMiddleware,
        secret_key=site.secret.hex(),
        session_cookie=_OIDC_COOKIE,
        max_age=_OIDC_WITHIN_S,
        path="/login",
        https_only=is_secure(site.settings.web),
    )


def _answer_errors(app: FastAPI, site: Site) -> None:
    @app.exception_handler(NotSignedIn)
    def not_signed_in(request: Request, _: Exception) -> Response:
        if _is_program(request):
            return JSONResponse({"detail": "Nobody is signed in."}, 401, {"www-authenticate": "Bearer"})
        if request.headers.get("hx-request"):
            return Response(status_code=204, headers={"hx-redirect": "/login"})
        return RedirectResponse("/login", SEE_OTHER)

    @app.exception_handler(NotMeant)
    def not_meant(request: Request, _: Exception) -> Response:
        return _problem(request, site, 403, "This form is too old, or came from elsewhere. Load the page again.")

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = str(error.detail) if isinstance(error, HTTPException) else ""
        return _problem(request, site, status, detail if detail.endswith(".") else _WORDS.get(status, detail))

    @app.exception_handler(RequestValidationError)
    def unreadable(request: Request, error: Exception) -> Response:
        wrong = error.errors() if isinstance(error, RequestValidationError) else []
        # What was sent is not repeated: it may be a patient's.
        told = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in wrong]
        if _is_program(request):
            return JSONResponse(json.loads(json.dumps({"detail": told})), 422)
        return _problem(request, site, 422, "That cannot be read.")

    @app.exception_handler(Retryable)
    def not_now(request: Request, _: Exception) -> Response:
        return _problem(request, site, 503, "The database, a disk or the object store does not answer. Try again.")

    @app.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> Response:
        # Neither message nor values: they may quote a patient's data.
        last = (traceback.extract_tb(error.__traceback__) or [None])[-1]
        place = f"{Path(last.filename).name}:{last.lineno}" if last else ""
        log.get().error(log.REQUEST_FAILED, error=type(error).__name__, detail=place)
        return _plain(request, 500, "Celadon has made a mistake. It was written down.")


def _is_program(request: Request) -> bool:
    return request.url.path.startswith(("/api/", "/metrics", "/health"))


def _plain(request: Request, status: int, words: str) -> Response:
    if _is_program(request):
        return JSONResponse({"detail": words}, status)
    return Response(words, status, media_type="text/plain")


def _problem(request: Request, site: Site, status: int, words: str) -> Response:
    if _is_program(request):
        return JSONResponse({"detail": words}, status)
    if request.headers.get("hx-request") or request.url.path.endswith(".png"):
        return Response(words, status, media_type="text/plain")
    try:
        person = find_person(request, site)
    except Retryable:
        person = None  # a database that does not answer does not say who is asking, either
    return show(request, site, person, "problem.html", status, words=words, status_code=status)


def _describe_access(app: FastAPI) -> None:
    """Say in the OpenAPI document how programs sign in."""
    plain: Any = app.openapi

    def described() -> dict[str, Any]:
        document: dict[str, Any] = plain()
        document.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, item in document["paths"].items():
            for operation in item.values():
                if path.startswith("/api/"):
                    operation["security"] = [{"token": []}]
        return document

    app.openapi = described  # type: ignore[method-assign]  # as FastAPI's documentation has it
