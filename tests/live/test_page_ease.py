"""Acceptance: the page for whoever has no mouse, no eyes for it, or a small screen, in headless Chromium over a real
service: everything by keys alone, the focus is seen and never lost, what a screen reader is given has names and an
order, who comes is said, and axe finds no fault on a phone either.
"""

import json
from itertools import pairwise

import pytest

from tests.live.test_page import MISFITS, SIZES, Page, asked, enrolled, page

__all__ = ["page"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

TAB, ENTER, SPACE, ESCAPE, DOWN = "\ue004", "\ue007", " ", "\ue00c", "\ue015"
MOST_TABS = 60
# What has the focus, in words; "" where nothing has.
FOCUS = """
const it = document.activeElement;
if (!it || it === document.body) return "";
if (!it.matches("main") && getComputedStyle(it).outlineStyle === "none") return `no outline: ${it.outerHTML}`;
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

    async def stays_in_the_dialog(self) -> None:
        """Once round it, and past the browser's own buttons."""
        around = await self.page.browser.run("return document.querySelectorAll('dialog button, dialog input').length")
        for _ in range(around + 2):
            await self.press(TAB)
            outside = "const it = document.activeElement; return it !== document.body && !it.closest('dialog')"
            assert not await self.page.browser.run(outside), await self.focus()

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
    await keys.press(ENTER)
    await keys.is_at("input  name")
    await keys.press(*"gra", ENTER)  # a part of a name is nobody's
    await keys.is_at("button Grace")
    await page.shows("dialog .choices .new", "Somebody new: gra")
    await keys.press(ESCAPE)
    await page.shows_not("dialog")
    assert [one["name"] for one in (await asked(page, "/api/v1/people"))["people"]] == ["Grace"]
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
    """A decision takes its cluster's place, and has the focus: it can be taken back from there."""
    keys = Keys(page)
    await keys.enter("Review")
    await keys.is_at("main#main Review")
    await page.shows(".cluster .who-is-this")
    await keys.enter("Who is this?")
    await keys.is_at("input  name")
    await keys.press(ESCAPE)
    await page.shows_not("dialog")
    await keys.is_at("Who is this?")
    clusters, is_taken_back = "document.querySelectorAll('.cluster').length", False
    while left := await page.browser.run(f"return {clusters}"):
        await keys.enter("Ignore")
        await page.browser.until(f"{clusters} < {left}")
        await keys.is_at("button Undo: ")
        if not is_taken_back:
            await keys.press(ENTER)
            await page.browser.until(f"{clusters} === {left}")
            await keys.is_at("Who is this?")
            is_taken_back = True


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


async def test_thresholds_by_keys_alone(page):
    keys = Keys(page)
    await enrolled(page, "Somebody else", 0)
    await keys.enter("Service")
    await keys.is_at("main#main Service")
    await keys.reach("strangers")
    await keys.press(DOWN)
    await keys.enter("Compute the thresholds")
    await page.shows(".rates p", "strangers")
    await keys.is_at("Compute the thresholds")
    await keys.enter("As a table")
    await page.shows(".rates td", "%")
    await keys.enter("Use these thresholds")
    await page.shows(".said", "by these thresholds")
    await page.browser.until("!document.querySelector('.keep') && document.activeElement !== document.body")
    assert await spoken_faults(page) == []


async def test_a_merge_and_an_erasure_by_keys_alone(page):
    """Ada Lovelace, who was enrolled before, is the Grace of the visits."""
    keys = Keys(page)
    await keys.enter("People")
    await keys.enter("Ada Lovelace")
    await page.shows("h1", "Ada Lovelace")
    await keys.is_at("main#main Person")
    await keys.enter("Is the same person as")
    await keys.is_at("input  name")
    await page.shows("dialog .choices", "Grace")
    await keys.stays_in_the_dialog()
    await keys.press(ESCAPE)
    await page.shows_not("dialog")
    await keys.is_at("Is the same person as")
    await keys.press(ENTER)
    await keys.is_at("input  name")
    await keys.press(*"grace")
    await keys.enter("button Grace")
    await keys.is_at("Merge into Grace")
    assert await spoken_faults(page) == []
    await keys.press(ENTER)
    await page.shows("h1", "Grace")
    await keys.is_at("main#main Person")
    await keys.enter("Erase…")
    await keys.is_at("button Close")
    await keys.stays_in_the_dialog()
    await keys.enter("No, leave it")
    await keys.is_at("Erase…")
    await keys.press(ENTER)
    await keys.enter("Erase Grace")
    await keys.is_at("h1 Grace was erased")
    await keys.enter("All people")
    await keys.is_at("main#main People")
    await page.shows(".people .name", "Somebody else")
    assert "Grace" not in await page.text()


async def test_cameras_and_models_by_keys_alone(page):
    keys = Keys(page)
    await keys.enter("Cameras")
    await keys.is_at("main#main Cameras")
    await keys.enter("button Enable")
    await page.shows(".said", "attic: enabled")
    await keys.is_at("button Disable")  # the same one
    await keys.press(ENTER)
    await page.shows(".said", "attic: disabled")
    await keys.is_at("button Enable")
    await keys.enter("What it sends")
    await page.shows("dialog h2", "What door sends")
    await keys.press(ESCAPE)
    await page.shows_not("dialog")
    await keys.is_at("What it sends")
    await keys.enter("Models")
    await keys.is_at("main#main Models")
    await keys.enter("Let the service choose")
    await page.shows(".said", "serves")
    await keys.is_at("Let the service choose")


# Of the tree that a screen reader reads: what can be used or says something has a name.
CONTROLS = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "Date", "DisclosureTriangle"}
SAYING = {"image", "img", "dialog", "navigation", "main", "Video"}


async def spoken_faults(page: Page) -> list[str]:
    """What somebody who hears the page would miss: names, an order of headings, the language, a title of its own."""
    tree = (await page.browser.devtools("Accessibility.getFullAXTree"))["nodes"]
    told = [node for node in tree if not node.get("ignored")]
    faults = [
        f"a {role} has no name"
        for node in told
        if (role := node["role"]["value"]) in CONTROLS | SAYING and not node.get("name", {}).get("value", "").strip()
    ]
    levels = [
        next(one["value"]["value"] for one in node["properties"] if one["name"] == "level")
        for node in told
        if node["role"]["value"] == "heading"
    ]
    if levels.count(1) != 1 and not await page.browser.run("return Boolean(document.querySelector('dialog'))"):
        faults.append(f"not one heading of the first order: {levels}")
    faults += [f"a heading of order {two} after {one}" for one, two in pairwise(levels) if two > one + 1]
    title, language = await page.browser.run("return [document.title, document.documentElement.lang]")
    if not title.endswith(" · whosthere") or language != "en":
        faults.append(f"title {title!r}, language {language!r}")
    assert len(told) > 10, "no tree"
    return faults


async def test_no_screen_has_a_fault_on_a_phone_in_the_dark(page):
    """320 pixels, which a screen of 1280 has at four times its size, too."""
    await page.browser.resize(320, 640)
    await page.browser.dark(True)
    models = "return document.querySelector('nav a[href=\"#/models\"]').checkVisibility()"
    assert not await page.browser.run(models), "a phone's bar has room for five"
    await page.click("nav button", "More")
    await page.click("nav a", "Models")
    await page.shows("h1", "Models")
    assert not await page.browser.run(models)
    screens = await page.browser.run("return [...document.querySelectorAll('nav a')].map(({hash}) => hash.slice(2))")
    assert len(screens) > 3
    titles = set()
    for screen in [*screens, "enrol", "live/door"]:
        await page.go(screen)
        await page.shows("main h1")
        await page.shows_not("main .waiting")
        assert await page.faults() == [], screen
        assert await spoken_faults(page) == [], screen
        titles.add(await page.browser.run("return document.title"))
        assert await page.browser.run(MISFITS) == [], screen
        assert await page.browser.run("return document.documentElement.scrollWidth") <= 320, screen
    assert len(titles) == len(screens) + 2
    await page.browser.dark(False)
    await page.browser.resize(*SIZES["wide"])
