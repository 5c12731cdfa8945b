"""Acceptance: the page for whoever has no mouse, no eyes for it, or a small screen, in headless Chromium over a real
service: everything by keys alone, the focus is never lost, who comes is said, and axe finds no fault on a phone either.
"""

import json

import pytest

from tests.live.test_page import MISFITS, SIZES, Page, page

__all__ = ["page"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

TAB, ENTER, SPACE, ESCAPE = "\ue004", "\ue007", " ", "\ue00c"
MOST_TABS = 60
# What has the focus, in words; "" where nothing has.
FOCUS = """
const it = document.activeElement;
if (!it || it === document.body) return "";
return `${it.localName}${it.id && "#" + it.id} ${it.getAttribute("aria-label") ?? it.innerText ?? ""} ${it.name ?? ""}`;
"""


class Keys:
    """Somebody who has keys alone."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def press(self, *keys: str) -> None:
        await self.page.browser.press(*keys)

    async def focus(self) -> str:
        return str(await self.page.browser.run(FOCUS))

    async def reach(self, words: str) -> None:
        """By the tabulator, from where one is; round the page once at the most."""
        met = []
        for _ in range(MOST_TABS):
            if words in (now := await self.focus()):
                return
            met.append(now)
            await self.press(TAB)
        pytest.fail(f"no way by keys to {words!r}: {met}\n{await self.page.browser.complaints()}")

    async def enter(self, words: str) -> None:
        await self.reach(words)
        await self.press(ENTER)

    async def is_at(self, words: str) -> None:
        """The focus comes there by itself."""
        try:
            await self.page.browser.until(f"(() => {{{FOCUS}}})().includes({json.dumps(words)})")
        except TimeoutError:
            said = await self.page.browser.complaints()
            pytest.fail(f"the focus is not at {words!r}, but at {await self.focus()!r}\n{said}")


async def test_a_name_and_its_correction_by_keys_alone(page):
    keys = Keys(page)
    await page.browser.open(f"{page.service.http}/")
    await keys.is_at("#token")
    await keys.press(*page.token, ENTER)
    await keys.is_at("main#main Live")
    await keys.enter("Events")
    await keys.is_at("main#main Events")
    await page.shows(".visit", "Somebody unknown")
    await page.browser.until("document.querySelector('.visit .picture img')?.naturalWidth > 0")  # it is kept
    await keys.enter("Show the picture of")
    await page.shows("dialog .scene")
    await keys.press(ESCAPE)
    await page.shows_not("dialog")
    await keys.is_at("Show the picture of")
    await keys.enter("Who is this?")
    await keys.is_at("input  name")
    await keys.press(*"Grace", ENTER)
    await page.shows(".said", "Grace is recognised from now on")
    await page.shows_not("dialog")
    await keys.is_at("Not Grace?")  # where one was
    await keys.press(ENTER)
    await keys.is_at("Nobody I know")
    await keys.enter("It is Grace after all")
    await keys.is_at("Not Grace?")
    await keys.press(ENTER)
    await keys.is_at("Nobody I know")
    await keys.press(ENTER)
    await page.shows(".said", "Corrected")
    await keys.is_at("Who is this?")
    await page.browser.until("/(Grace|Somebody unknown), door/.test(document.querySelector('.news').innerText)")


async def test_what_was_said_by_hand_stays_where_the_visit_is_told_anew(page):
    """Of one that was read among the kept ones, and not heard of before."""
    who = await page.browser.run("""
        const {joined, live, saidByHand} = await import("/page/visits.js");
        const visits = live.value.visits;
        const visit = {event_id: "x", seq: 1, first_seen_at: 1, captured_at: 1, camera: "door", candidates: []};
        saidByHand({...visit, person: {id: "p", name: "Grace"}, decision: "known"});
        const told = joined(live.value.visits, [{...visit, seq: 2, type: "update", person: null}]);
        live.set({visits});
        return told.get("x").person?.name;
    """)
    assert who == "Grace"


async def test_a_review_by_keys_alone(page):
    """A decision takes its cluster away; the next one has the focus, or the screen."""
    keys = Keys(page)
    await keys.enter("Review")
    await keys.is_at("main#main Review")
    await page.shows(".cluster .who-is-this")
    await keys.enter("Who is this?")
    await keys.is_at("input  name")
    await keys.press(ESCAPE)
    await page.shows_not("dialog")
    await keys.is_at("Who is this?")
    clusters = "document.querySelectorAll('.cluster').length"
    while left := await page.browser.run(f"return {clusters}"):
        await keys.enter("Ignore")
        await page.browser.until(f"{clusters} < {left}")
        await keys.is_at("Who is this?" if left > 1 else "main#main Review")


async def test_an_enrolment_by_keys_alone(page):
    keys = Keys(page)
    await keys.enter("People")
    await keys.is_at("main#main People")
    await keys.enter("Enrol somebody")
    await keys.is_at("main#main Enrol somebody")
    await keys.reach("input  name")
    await keys.press(*"Ada")
    await keys.enter("Use this device")
    await page.browser.until("document.querySelector('.shoot')?.disabled === false")
    await keys.enter("Take a photo")
    await page.shows("dialog .quiet", "1 taken")
    await keys.enter("Done")
    await page.shows_not("dialog")
    await keys.is_at("Use this device")
    await keys.reach("button Enrol ")
    await keys.press(SPACE)
    await page.shows("h1", "Ada is enrolled")
    await keys.is_at("Show Ada")
    await keys.press(ENTER)
    await page.shows("h1", "Ada")
    await keys.enter("Rename")
    await keys.is_at("input  name")
    await keys.press(*" Lovelace", ENTER)
    await page.shows("h1", "Ada Lovelace")
    await page.shows_not("dialog")
    await keys.is_at("Rename")


async def test_no_screen_has_a_fault_on_a_phone_in_the_dark(page):
    """320 pixels, which a screen of 1280 has at four times its size, too."""
    await page.browser.resize(320, 640)
    await page.browser.dark(True)
    screens = await page.browser.run("return [...document.querySelectorAll('nav a')].map(({hash}) => hash.slice(2))")
    assert len(screens) > 3
    for screen in [*screens, "enrol"]:
        await page.go(screen)
        await page.shows("main h1")
        await page.shows_not("main .waiting")
        assert await page.faults() == [], screen
        assert await page.browser.run(MISFITS) == [], screen
        assert await page.browser.run("return document.documentElement.scrollWidth") <= 320, screen
    await page.browser.dark(False)
    await page.browser.resize(*SIZES["wide"])
