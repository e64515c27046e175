"""The page as its own process with a case of each kind, people of each role, and Debian's Chromium to look with."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from node.domain.access import Role
from node.domain.audit import AuditAction
from node.domain.identifiers import JobId
from node.domain.reporting import ObjectKind
from node.store.findings import Found
from node.store.jobs import EndedStep
from tests import factories
from tests.page import HASHED, PASSWORD, PageUnderTest, furnished, open_page, waiting
from tests.servers import require
from tests.watched import watch

ROOT = Path(__file__).parents[3]
SCREENSHOTS = ROOT / "build" / "browser"
AXE = ROOT / "build" / "axe" / "axe-core-4.11.0.tgz"
"""``npm pack axe-core@4.11.0`` (MPL-2.0), for tests alone."""
PATIENCE_MS = 120_000
DESK, PHONE = (1366, 768), (390, 844)
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_RULES = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}"


@dataclass(frozen=True)
class Served:
    """A page at an address."""

    url: str
    under_test: PageUnderTest

    @property
    def jobs(self) -> dict[str, JobId]:
        """The case of each kind."""
        return self.under_test.jobs


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """``celadon web`` over a data folder: gives its address."""
    config = folder / "celadon.toml"
    viewer = "http://127.0.0.1:3000/viewer?StudyInstanceUIDs={study_uid}"
    config.write_text(f'data_dir = "{folder}"\n[web]\nport = 0\n[web.viewers]\nOHIF = "{viewer}"\n')
    ready, theirs = os.pipe()
    command = [sys.executable, "-m", "node", "web", "--config", str(config), "--ready-fd", str(theirs)]
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(command, pass_fds=(theirs,), stdout=log, stderr=log, cwd=ROOT)
    os.close(theirs)
    try:
        with os.fdopen(ready) as announcement:
            line = announcement.readline()
        assert line, (folder / "web.log").read_text()
        yield f"http://127.0.0.1:{json.loads(line)['web']}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """``celadon web`` over a furnished data folder."""
    folder = tmp_path_factory.mktemp("page")
    page = furnished(open_page(folder))
    for role in Role:
        page.stores.users.add(role.value, HASHED, role)
    page.jobs["silent"] = analysed_silently(page)
    watch(page, 160)
    with serve(folder) as url:
        yield Served(url, page)


def analysed_silently(page: PageUnderTest) -> JobId:
    """A blinded result, of a series of its own."""
    job = waiting(page, "2.25.7104", PatientID="PAT-10", PatientName="Fourth^Patient")
    claim = page.stores.jobs.claim("worker 1")
    while claim is not None and claim.job_id != job:
        claim = page.stores.jobs.claim("worker 1")
    assert claim is not None
    document = page.stores.findings.of(page.jobs["analysed"])
    assert document is not None
    found = Found(document, is_blinded=True)
    made = [factories.report_object("silent", ObjectKind.SUMMARY)]
    event = factories.event(AuditAction.COMPOSED, job_id=job)
    step = factories.step_record()
    assert page.stores.results.commit(
        claim, made, predictor="gtrnet", destinations=(), steps=[EndedStep(step, (event,))], found=found
    )
    return job


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    program = require("Chromium", shutil.which("chromium"))
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS), timeout=PATIENCE_MS)
        yield browser
        browser.close()


Visit = Callable[..., Page]


@pytest.fixture
def visit(chromium: Browser, served: Served) -> Iterator[Visit]:
    """``visit(Role.READER, size=PHONE, dark=True)``: a page, somebody signed in; what scripts raise fails the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_one(role: Role | None, size: tuple[int, int] = DESK, *, dark: bool = False, **options: Any) -> Page:
        scheme = "dark" if dark else "light"
        view = {"width": size[0], "height": size[1]}
        context = chromium.new_context(viewport=view, color_scheme=scheme, base_url=served.url, **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
        if role is not None:
            page.goto("/login")
            page.get_by_label("Name").fill(role.value)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url("**/")
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope="module")
def axe() -> str:
    """The program of axe-core."""
    with tarfile.open(require("axe-core (from npm)", AXE if AXE.is_file() else None)) as package:
        program = package.extractfile("package/axe.min.js")
        assert program is not None
        return program.read().decode()


def findings(page: Page, axe: str) -> list[tuple[str, str, str]]:
    """What axe-core finds on a page: rule, impact and the first place of each."""
    page.evaluate(axe)
    found = page.evaluate(f"axe.run(document, {_RULES})")
    return [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found["violations"]]


def picture(page: Page, name: str) -> None:
    """A screenshot for people."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
