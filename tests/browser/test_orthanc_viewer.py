"""What Orthanc's own web viewer shows: the pages, for archives without anything better."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from node.domain.reporting import ObjectKind
from tests.browser.conftest import Hospital, picture
from tests.servers import require
from tests.waiting import wait_until

pytestmark = [pytest.mark.timeout(600)]
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancWebViewer.so")


@pytest.mark.parametrize(("study", "kind"), [("result", ObjectKind.SUMMARY), ("withdrawn", ObjectKind.NOTICE)])
def test_the_page_is_shown(page: Page, hospital: Hospital, study: str, kind: ObjectKind) -> None:
    """The yellow band of the page is on the screen, over its whole width."""
    require("Orthanc's web viewer", PLUGIN if PLUGIN.exists() else None)
    made = next(one for one in hospital.studies[study].objects if one.kind is kind)
    series = hospital.orthanc_id("Series", {"SeriesInstanceUID": made.series_uid})
    page.goto(f"{hospital.orthanc_url}/web-viewer/app/viewer.html?series={series}")

    def shown() -> bool | None:
        red, green, blue = np.moveaxis(np.asarray(Image.open(BytesIO(page.screenshot())), dtype=int)[..., :3], 2, 0)
        band = (abs(red - 250) < 12) & (abs(green - 210) < 12) & (abs(blue - 90) < 20)
        return True if band.sum() > 5000 else None

    wait_until(shown, "the page is on the screen", 120)
    picture(page, f"orthanc-{study}")
