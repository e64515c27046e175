"""An Orthanc with three studies, OHIF over it, and Debian's Chromium: once for all tests of this folder."""

import json
import os
import re
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from node.demo.pacs import orthanc_program, start_pacs
from node.dicom.sending import send_files
from tests.browser.studies import Study, result, withdrawn, without_result
from tests.browser.viewer import PACKAGE, ROOT, serving, unpacked
from tests.servers import require

SCREENSHOTS = ROOT / "build" / "browser"
PATIENCE_MS = 90_000
_FLAGS = (
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
_REPLACED = "The stack viewport has been destroyed"
"""What OHIF raises when an image that was asked for arrives after its viewport has given way to another."""
_NO_TOUR = """
try { localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour'])); } catch (error) {}
addEventListener('DOMContentLoaded', () => {
  const style = document.createElement('style');
  style.textContent = '.shepherd-modal-overlay-container, .shepherd-element { display: none !important }';
  document.head.append(style);
});
"""


@dataclass(frozen=True)
class Hospital:
    """An archive with studies, and where its pages are."""

    orthanc_url: str
    ohif_url: str
    studies: dict[str, Study]

    def orthanc_id(self, level: str, query: dict[str, str]) -> str:
        """What Orthanc calls something in its own pages."""
        body = json.dumps({"Level": level, "Query": query}).encode()
        request = urllib.request.Request(f"{self.orthanc_url}/tools/find", data=body)  # noqa: S310 — our own loopback
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 — the same
            (found,) = json.load(answer)
        return str(found)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A study with results, one without, and one whose results were withdrawn."""
    require("Orthanc", orthanc_program())
    require(f"OHIF ({PACKAGE.name}, from npm)", PACKAGE if PACKAGE.is_file() else None)
    folder = tmp_path_factory.mktemp("browser")
    studies = {
        "result": result("pancreas", folder, "RESULT"),
        "notice": without_result("stomach", folder, "NOTICE"),
        "withdrawn": withdrawn("stomach", folder, "WITHDRAWN"),
    }
    with start_pacs() as pacs:
        port = int(re.search(r":(\d+)/", str(pacs.web_url))[1])  # type: ignore[index]
        for name, study in studies.items():
            paths = list(study.case.paths)
            for number, made in enumerate(study.objects):
                paths.append(folder / f"{name}-{number}.dcm")
                paths[-1].write_bytes(made.content)
            assert all(sent.is_stored for sent in send_files(paths, pacs.peer, "TEST"))
        with serving(unpacked(folder), port) as url:
            yield Hospital(f"http://127.0.0.1:{port}", url, studies)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, drawing in software."""
    program = require("Chromium", shutil.which("chromium"))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a test; whatever the viewer raises on it, but for ``_REPLACED``, fails the test."""
    made = browser.new_page(viewport={"width": 1400, "height": 900})
    made.set_default_timeout(PATIENCE_MS)
    made.add_init_script(_NO_TOUR)
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    yield made
    made.close()
    assert [error for error in errors if not error.startswith(_REPLACED)] == []


def picture(page: Page, name: str) -> Path:
    """A screenshot for people, where the README says."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    target = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=os.fspath(target))
    return target
