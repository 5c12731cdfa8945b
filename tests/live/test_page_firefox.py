"""Acceptance, with --thorough: what the page does in Chromium it does in Firefox, too, where that is installed."""

import base64

import pytest
import pytest_asyncio

from tests.faces import STRANGERS
from tests.live import test_page as in_chromium
from tests.live.firefox import Firefox, program
from tests.live.test_page import DROPPED, SIZES, Page, served

pytestmark = [
    pytest.mark.live,
    pytest.mark.thorough,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(program() is None, reason="Firefox is not installed (Debian: firefox-esr)"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(tmp_path_factory):
    """In Firefox, whose camera is made up and sees nobody. Its console has nothing to say but who was refused."""
    folder = tmp_path_factory.mktemp("page")
    async with served(folder) as (service, token), Firefox() as browser:
        await browser.resize(*SIZES["wide"])
        yield Page(browser, service, token, thorough=True)
        assert [said for said in await browser.complaints() if "401" not in said] == []


# One after the other, as there; each goes on where the one before it has left the gallery.
test_signing_in_and_the_wall = in_chromium.test_signing_in_and_the_wall
test_a_stranger_becomes_a_person = in_chromium.test_a_stranger_becomes_a_person
test_a_wrong_name_is_corrected_in_two_clicks = in_chromium.test_a_wrong_name_is_corrected_in_two_clicks
test_the_review_queue_is_emptied_by_clusters = in_chromium.test_the_review_queue_is_emptied_by_clusters


async def test_photos_are_dropped_and_taken_by_the_browsers_camera(page):
    await page.go("enrol")
    await page.type("form.enrol input[name=name]", "Margaret Hamilton")
    await page.click(".take")
    await page.click(".shoot")
    await page.shows("dialog .quiet", "1 taken")
    await page.looked_at("own-camera")
    await page.click("dialog button", "Done")
    await page.browser.run(DROPPED, ".drop", "2.jpg", base64.b64encode(STRANGERS[1].file.read_bytes()).decode())
    await page.looked_at("enrol")
    await page.click("form.enrol button[type=submit]")
    await page.shows("h1", "Margaret Hamilton is enrolled")
    await page.shows(".report", "camera 1.jpg: ")  # a picture, with no face in it
    await page.shows(".report", "2.jpg: taken")
    await page.looked_at("enrolled")


test_renamed_merged_and_erased = in_chromium.test_renamed_merged_and_erased
test_cameras_and_models = in_chromium.test_cameras_and_models
test_thresholds_are_computed_and_kept = in_chromium.test_thresholds_are_computed_and_kept
test_a_viewer_sees_and_changes_nothing = in_chromium.test_a_viewer_sees_and_changes_nothing
test_a_service_that_is_started_anew = in_chromium.test_a_service_that_is_started_anew_under_an_open_page
