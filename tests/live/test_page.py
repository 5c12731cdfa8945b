"""Acceptance: the page in headless Chromium over a real service: signing in, who is there, a stranger who becomes a
person, a wrong name, people enrolled by photos and by the browser's camera, merged and erased; words for what is wrong.
"""

import base64
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from axe_core_python import base as axe

from tests.faces import EVERYBODY, KNOWN, STRANGERS, write_film
from tests.live.browser import Browser
from tests.live.firefox import Firefox
from tests.live.mosquitto import Mosquitto
from tests.live.publishing import fake_camera
from tests.live.service import ServiceProcess, until
from tests.streamer.access.keys import bearer

pytestmark = [pytest.mark.live, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

SIZES = {"wide": (1280, 800), "phone": (375, 740)}
AXE = (Path(axe.__file__).parent / "axe.min.js").read_text()
DROPPED = """
const [selector, name, text] = arguments;
const files = new DataTransfer();
files.items.add(new File([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))], name, {type: "image/jpeg"}));
const event = new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true});
document.querySelector(selector).dispatchEvent(event);
"""
# Whatever a finger could not hit, and whatever is cut off.
MISFITS = """
const all = document.querySelectorAll("button, a, input, select, h1, h2, li, video");
const shown = [...all].filter((it) => it.checkVisibility());
const name = (it) => `${it.tagName} ${it.className} ${it.textContent.slice(0, 30)}`;
const isCut = ({left, right}) => left < -1 || right > innerWidth + 1;
const isTouched = (it) => it.matches("button, nav a, input:not(.files), select");
const isSmall = (it) => isTouched(it) && it.getBoundingClientRect().height < 40;
const isHidden = (it) => it.matches(".skip, .files, .said *");
return shown.filter((it) => !isHidden(it) && (isCut(it.getBoundingClientRect()) || isSmall(it))).map(name);
"""


class Page:
    """The page in a browser, as its user sees it."""

    def __init__(self, browser: Browser | Firefox, service: ServiceProcess, token: str, *, thorough: bool) -> None:
        self.browser, self.service, self.token, self._thorough = browser, service, token, thorough

    async def go(self, where: str) -> None:
        """To a screen, as by a link."""
        await self.browser.run("location.hash = arguments[0]", f"#/{where}")

    async def shows(self, selector: str, words: str = "", within_s: float = 30.0) -> None:
        """Until something visible of this kind says it."""
        seen: list[object] = []

        async def so() -> bool:
            seen.append(
                await self.browser.run(
                    "return [...document.querySelectorAll(arguments[0])].filter((it) => it.checkVisibility())"
                    ".map((it) => it.innerText)",
                    selector,
                )
            )
            return any(words in text for text in seen[-1])

        try:
            await until(so, within_s)
        except TimeoutError:
            pytest.fail(f"no {selector} says {words!r}, but {seen[-1]!r}\n{await self.text()}")

    async def shows_not(self, selector: str) -> None:
        await self.browser.until(f"!document.querySelector({json.dumps(selector)})")

    async def text(self) -> str:
        return await self.browser.run("return document.body.innerText")

    async def click(self, selector: str, words: str = "") -> None:
        """One that is there, as soon as it can be clicked."""
        await self.shows(selector, words)
        await until(
            lambda: self.browser.run(
                "const it = [...document.querySelectorAll(arguments[0])]"
                ".find((it) => it.checkVisibility() && !it.disabled && it.innerText.includes(arguments[1]));"
                "it?.click(); return Boolean(it)",
                selector,
                words,
            ),
            30,
        )

    async def type(self, selector: str, text: str) -> None:
        await self.shows(selector)
        await self.browser.keys(selector, text)

    async def looked_at(self, name: str) -> None:
        """Wide and on a phone nothing is cut off or too small, and axe finds nothing serious; with --thorough in the
        dark, too. Screenshots for whoever wants to look: set WHOSTHERE_TEST_SCREENSHOTS to a folder.
        """
        folder = os.environ.get("WHOSTHERE_TEST_SCREENSHOTS")
        tastes = (False, True) if folder or self._thorough else (False,)
        for size, (width, height) in SIZES.items():
            await self.browser.resize(width, height)
            assert await self.browser.run("return innerWidth") <= width, "Chromium makes room for what is too wide"
            for dark in tastes:
                await self.browser.dark(dark)
                assert await self.browser.run(MISFITS) == [], (name, size)
                if size == "wide" or self._thorough:
                    assert await self.faults() == [], (name, "dark" if dark else "light")
                if folder:
                    file = Path(folder) / f"{name}-{size}-{'dark' if dark else 'light'}.png"
                    await self.browser.screenshot(file)
        await self.browser.dark(False)
        await self.browser.resize(*SIZES["wide"])

    async def faults(self) -> list[str]:
        """What axe calls serious or worse."""
        found = await self.browser.run(
            f"if (!window.axe) {{ {AXE} }} const {{violations}} = await axe.run(); "
            "return violations.filter(({impact}) => ['serious', 'critical'].includes(impact))"
            ".map(({id, nodes}) => `${id}: ${nodes.map(({html}) => html).join(' ')}`);"
        )
        return list(found)

    async def new_token(self, name: str, role: str) -> str:
        """Made by the command line, and known to the service, which follows the file."""
        made = json.loads(self.service.run("tokens", "make", name, "--role", role, "--json"))
        token = str(made["token"])
        async with httpx.AsyncClient(base_url=self.service.http, headers=bearer(token), timeout=30) as api:

            async def is_known() -> bool:
                return (await api.get("/api/v1/people")).status_code == 200

            await until(is_known, 30)
        return token

    async def sign_in(self, token: str | None = None) -> None:
        await self.type("#token", (token or self.token) + "\n")


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[ServiceProcess, str]]:
    """She and a stranger come and go before `door`, which keeps visits; nobody is enrolled. And an operator's token."""
    film = write_film(folder / "door.mp4", ([KNOWN, None, STRANGERS[0]], 3), ((), 2))
    door = {"url": str(film), "fps": 5, "loop": True, "snapshots": True}
    with Mosquitto(folder) as broker:
        config = {
            "paths": {"data": "data"},
            "mqtt": {"port": broker.port},
            "cameras": {"door": door, "attic": {"url": str(film), "loop": True, "enabled": False}},
            "events": {"keep_unknown_h": 24, "faces_to_settle": 1, "gone_after_s": 0.5},
            "http": {"port": 0},
        }
        service = ServiceProcess(folder, config)
        made = json.loads(service.run("tokens", "make", "the desk", "--role", "operator", "--json"))
        with service:
            await service.until_ready("camera door")
            yield service, made["token"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(tmp_path_factory, pytestconfig):
    """In Chromium, whose camera sees another stranger."""
    folder = tmp_path_factory.mktemp("page")
    own = write_film(folder / "own.mp4", ([None, STRANGERS[1], None], 2))
    async with served(folder) as (service, token), Browser(*fake_camera(folder, own)) as browser:
        await browser.resize(*SIZES["wide"])
        yield Page(browser, service, token, thorough=pytestconfig.getoption("--thorough"))


async def test_signing_in_and_the_wall(page):
    await page.browser.open(f"{page.service.http}/")
    await page.shows("h1", "s there?")
    await page.looked_at("sign-in")
    await page.sign_in("not-a-token")
    await page.shows(".trouble", "not known here")
    assert [said for said in await page.browser.complaints() if "401" not in said] == []
    await page.sign_in()
    await page.shows("h1", "Live")
    await page.shows(".tile .state", "online")
    await page.shows(".tile .notice", "disabled")
    await page.shows(".present li", "2 unknown")
    await page.browser.until("document.querySelector('.tile .picture:not(.old):not([hidden])')")
    await page.looked_at("live")
    spent = await page.browser.run(
        "return performance.getEntriesByType('resource').filter(({name}) => !name.includes('/api/'))"
        ".reduce((sum, {encodedBodySize}) => sum + encodedBodySize, 0)"
    )
    assert 0 < spent < 150_000, f"{spent} bytes"
    assert await page.browser.run("return document.cookie") == "", "no script reads the session's cookie"
    await page.click(".tile a", "door")
    await page.shows("h1", "door")
    await page.shows(".present li", "2 unknown")
    await page.looked_at("camera")


async def test_a_stranger_becomes_a_person(page):
    await page.go("events?camera=door")
    await page.shows(".visit", "Somebody unknown")
    await page.browser.until("document.querySelector('.visit .picture img')?.naturalWidth > 0")
    await page.shows(".list h2", "Today")
    await page.looked_at("events")
    await page.click(".visit .picture")
    await page.browser.until("document.querySelector('.scene')?.naturalWidth > 0")
    await page.click("dialog .plain")
    await page.shows_not("dialog")
    await page.browser.until("document.querySelectorAll('.visit .picture').length > 4")  # both came before
    await page.click(".visit .who-is-this")
    await page.shows("dialog h2", "Who is this?")
    await page.shows("dialog .quiet", "saved as somebody new")
    await page.looked_at("who-is-this")
    await page.type("dialog input[name=name]", "Grace Hopper\n")
    await page.shows(".said", "Grace Hopper is recognised from now on")
    await page.shows(".said", "like Grace Hopper")
    await page.click(".said .action", "Name")
    await page.shows(".said .action", "Show them")
    await page.browser.until("document.querySelectorAll('.visit[data-known=true]').length > 1")
    await page.shows(".visit .name", "Grace Hopper")
    await page.shows(".visit[data-known=true] .now", "there now")  # and the next time she is told by her name
    assert json.loads(page.service.run("gallery", "audit", "--json"))["entries"][-1]["actor"] == "the desk"


async def test_a_wrong_name_is_corrected_in_two_clicks(page):
    """A stranger's visit was given her name on purpose."""
    await page.go("events?who=known")
    await page.shows(".visit .name", "Grace Hopper")
    await page.looked_at("known")
    await page.browser.run("window.clicks = 0; addEventListener('click', () => ++window.clicks, true)")
    event_id = await page.browser.run("return document.querySelector('.visit:last-child').dataset.id")
    (grace,) = (await asked(page, "/api/v1/people"))["people"]
    await page.click(f".visit[data-id='{event_id}'] .wrong", "Not Grace Hopper?")
    await page.looked_at("correction")
    await page.click(".correction .nobody")
    await page.shows(".said", "not taken for Grace Hopper any more")
    await page.shows_not(f".visit[data-id='{event_id}']")  # of known people
    assert await page.browser.run("return window.clicks") == 2
    await page.click(".said .action", "Undo")
    await page.shows(".said", "It is Grace Hopper again")
    await page.shows(f".visit[data-id='{event_id}'] .name", "Grace Hopper")
    await page.click(f".visit[data-id='{event_id}'] .wrong")
    await page.click(".correction .nobody")
    await page.shows_not(f".visit[data-id='{event_id}']")
    await page.go("events?who=unknown")
    await page.shows(f".visit[data-id='{event_id}'] .name", "Somebody unknown")
    answer = await asked(page, f"/api/v1/events/{event_id}")
    assert {message["person"] for message in answer["events"]} == {None}
    assert (await asked(page, f"/api/v1/people/{grace['id']}/negatives"))["negatives"]


async def test_what_is_said_last_of_a_visit_counts(page):
    """Not hers, and hers after all, of the same visit: she is recognised again; and so by her own page."""
    (grace,) = (await asked(page, "/api/v1/people"))["people"]
    negatives = f"/api/v1/people/{grace['id']}/negatives"
    (kept,) = (await asked(page, negatives))["negatives"]
    denied = kept["source"].split()[1]
    await page.click(f".visit[data-id='{denied}'] .who-is-this")
    await page.type("dialog input[name=name]", "grace")
    await page.click("dialog .choices button", "Grace Hopper")
    await page.shows(".said", "Grace Hopper is recognised from now on")
    assert (await asked(page, negatives))["negatives"] == []
    since = time.time()

    async def is_recognised() -> bool:
        found = await asked(page, f"/api/v1/events?person={grace['id']}&since={since}")
        return any(message["first_seen_at"] > since and message["similarity"] for message in found["events"])

    await until(is_recognised, 30)
    async with httpx.AsyncClient(base_url=page.service.http, headers=bearer(page.token), timeout=30) as api:
        seen = (await asked(page, f"/api/v1/events?person={grace['id']}"))["events"]
        other = next(one["event_id"] for one in seen if one["similarity"])  # she was not enrolled by this one
        assert (await api.patch(f"/api/v1/events/{other}", json={"person": None})).status_code == 200
    await page.go(f"people/{grace['id']}")
    await page.shows(".not-them h2", "Faces said not to be Grace Hopper")
    await page.browser.until("document.querySelector('.not-them img')?.naturalWidth > 0")
    await page.looked_at("not-them")
    await page.click(".not-them button", "Take back")
    await page.shows(".said", "this face may be Grace Hopper")
    await page.shows_not(".not-them")
    assert (await asked(page, negatives))["negatives"] == []
    last = json.loads(page.service.run("gallery", "audit", "--json"))["entries"][-1]
    assert (last["action"], last["actor"]) == ("negative_removed", "the desk")


IDS = "return [...document.querySelectorAll('.visit')].map(({dataset}) => dataset.id)"


async def test_the_list_does_not_move_under_the_hand(page):
    """While a form is open in it; what is there is told anew all the same."""
    await page.go("events?camera=door")
    await page.click(".visit .wrong")
    await page.shows(".correction .nobody")
    before = await page.browser.run(IDS)
    top = await page.browser.run("return document.querySelector('.correction').getBoundingClientRect().top")
    await page.shows(".newer button", "new visit")
    assert await page.browser.run(IDS) == before
    assert await page.browser.run("return document.querySelector('.correction').getBoundingClientRect().top") == top
    await page.looked_at("newer")
    await page.browser.run("scrollTo(0, 0)")  # where it was
    await page.click(".correction button", "after all")
    await page.browser.until("document.activeElement?.matches('.visit .wrong')")  # and it comes a moment later
    await page.shows(".newer button")
    await page.browser.run("document.activeElement.blur()")
    await page.shows_not(".newer button")  # nobody is at it
    now = await page.browser.run(IDS)
    assert set(before) < set(now)
    hand = "document.querySelector('.list').dispatchEvent(new PointerEvent('pointermove', {bubbles: true}))"
    await page.browser.run(hand)
    await page.shows(".newer button", "new visit")
    await page.click(".newer button")
    await page.shows_not(".newer button")


async def test_whose_visits_are_shown(page):
    await page.go("events")
    await page.click(".tally button", "Grace Hopper")
    await page.shows("h1", "s visits")
    await page.shows(".visit .name", "Grace Hopper")
    chosen = "document.querySelector('[name=who]').selectedOptions[0].innerText"
    await page.browser.until(f"{chosen} === 'Grace Hopper'")
    await page.click(".filters .clear")
    await page.shows("h1", "Events")
    await page.browser.until(f"{chosen} === 'Everybody'")
    await page.go("events?day=2999-01-01")
    await page.shows(".empty", "still to come")
    await page.shows_not(".title .state")


async def asked(page: Page, path: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=page.service.http, headers=bearer(page.token), timeout=30) as api:
        answer = await api.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


async def test_the_review_queue_is_emptied_by_clusters(page):
    page.service.run("cameras", "disable", "door")  # or a cluster is another one with the next visit

    async def is_calm() -> bool:
        states = {one["name"]: one["state"] for one in (await asked(page, "/api/v1/cameras"))["cameras"]}
        if states["door"] != "disabled":  # else nobody is there for a moment
            return False
        newest = {message["event_id"]: message for message in (await asked(page, "/api/v1/events"))["events"][::-1]}
        return all(message["type"] == "end" for message in newest.values())

    await until(is_calm, 30)
    await page.go("review")
    await page.shows(".cluster .name", "visit")
    await page.browser.until("document.querySelector('.cluster img')?.naturalWidth > 0")
    await page.looked_at("review")
    clusters: list[dict[str, Any]] = []

    async def is_all_shown() -> bool:  # the last visit may have come behind what is shown
        clusters[:] = (await asked(page, "/api/v1/review"))["clusters"]
        shown = await page.browser.run("return [...document.querySelectorAll('.cluster')].map((it) => it.dataset.id)")
        if shown != [one["id"] for one in clusters]:
            await page.click(".refresh")
            return False
        return True

    await until(is_all_shown, 30)
    likeness = {one["id"]: max((near["similarity"] for near in one["candidates"]), default=0.0) for one in clusters}
    other = min(likeness, key=lambda one: likeness[one])  # not Grace Hopper's visits of before she was enrolled
    await page.click(f".cluster[data-id='{other}'] .who-is-this")
    await page.looked_at("cluster")
    await page.type("dialog input[name=name]", "Katherine Johnson\n")
    await page.shows(".said", "Katherine Johnson: ")
    while await page.browser.run("return document.querySelectorAll('.cluster').length"):
        left = await page.browser.run("return document.querySelectorAll('.cluster').length")
        await page.click(".cluster .ignore")
        await page.browser.until(f"document.querySelectorAll('.cluster').length < {left}")
    await page.shows(".empty", "Nobody unknown is left")


VISITS = "return (await (await fetch('/api/v1/review?limit=200')).json()).clusters.map(({id}) => id)"


async def test_what_was_decided_in_the_review_is_taken_back(page):
    """Nothing moves meanwhile; an erasure is sent when its time is over, or whoever asked for it goes."""
    await page.go("cameras")
    await page.go("review")
    await page.click(".ignored summary", "Ignored (")
    await page.click(".ignored-one .again")
    await page.shows(".cluster")
    one = await page.browser.run("return document.querySelector('.cluster').dataset.id")
    place = f"JSON.stringify(document.querySelector(\"[data-id='{one}']\").getBoundingClientRect())"
    before = await page.browser.run(f"return {place}")

    await page.click(f".cluster[data-id='{one}'] .danger", "Erase")
    await page.shows(f".decided[data-id='{one}']", "erased in ")
    assert await page.browser.run(f"return {place}") == before
    await page.looked_at("review-undo")
    await page.click(f".decided[data-id='{one}'] .undo")
    await page.shows(f".cluster[data-id='{one}']")
    assert one in await page.browser.run(VISITS)

    await page.click(f".cluster[data-id='{one}'] .ignore")
    await page.shows(f".decided[data-id='{one}'] .undo")
    assert one not in await page.browser.run(VISITS)
    await page.click(f".decided[data-id='{one}'] .undo")
    await page.shows(f".cluster[data-id='{one}']")
    assert one in await page.browser.run(VISITS)
    assert await page.browser.run(f"return {place}") == before

    await page.click(f".cluster[data-id='{one}'] .danger", "Erase")
    await page.shows(f".decided[data-id='{one}'] .undo")
    await page.go("people")  # who leaves means it
    await page.shows(".said", "erased.")
    assert one not in await page.browser.run(VISITS)
    page.service.run("cameras", "set", "door", "enabled=true")


async def test_photos_are_dropped_and_taken_by_the_browsers_camera(page):
    await page.go("people")
    await page.shows(".people .name", "Grace Hopper")
    await page.click(".title a", "Enrol somebody")
    await page.type("form.enrol input[name=name]", "Margaret Hamilton")
    nobody = base64.b64encode(b"this is no picture").decode()
    await page.browser.run(DROPPED, ".drop", "nobody.jpg", nobody)
    await page.click("form.enrol button[type=submit]")
    await page.shows(".trouble", "nobody.jpg")
    await page.click(".photos .plain", "Leave out")
    await page.click(".take")
    await page.click(".shoot")
    await page.shows("dialog .quiet", "1 taken")
    await page.looked_at("own-camera")
    await page.click("dialog button", "Done")
    await page.browser.run(DROPPED, ".drop", "2.jpg", base64.b64encode(STRANGERS[1].file.read_bytes()).decode())
    await page.looked_at("enrol")
    await page.click("form.enrol button[type=submit]")
    await page.shows("h1", "Margaret Hamilton is enrolled")
    await page.shows(".report", "camera 1.jpg: taken")
    await page.looked_at("enrolled")
    await page.click(".buttons a", "Show Margaret Hamilton")
    await page.browser.until("document.querySelector('.photos img')?.naturalWidth > 0")
    await page.looked_at("person")


async def test_renamed_merged_and_erased(page):
    await page.go("people")
    await page.click(".people a", "Margaret Hamilton")
    await page.click("button", "Rename")
    await page.browser.run("const it = document.querySelector('dialog input'); it.value = ''; it.focus()")
    await page.type("dialog input[name=name]", "Maggie <b>&amp;\n")
    await page.shows("h1", "Maggie <b>&amp;")  # text, whatever it says
    await page.click("button", "Is the same person as")
    await page.type("dialog input[name=name]", "grace")
    await page.click("dialog .choices button", "Grace Hopper")
    await page.click("dialog button", "Merge into")
    await page.shows("h1", "Grace Hopper")

    async def has_a_visit() -> bool:
        visits = (await asked(page, "/api/v1/events"))["events"]
        over = [one["event_id"] for one in visits if one["person"] is None and one["type"] == "end"]
        async with httpx.AsyncClient(base_url=page.service.http, headers=bearer(page.token), timeout=30) as api:
            said = {"person": "Grace Hopper", "negative": False}
            return bool(over) and (await api.patch(f"/api/v1/events/{over[0]}", json=said)).status_code == 200

    await until(has_a_visit, 30)
    await page.go("people")
    await page.click(".people a", "Grace Hopper")
    await page.shows(".seen", "door")
    await page.looked_at("person-seen")
    await page.click("button", "Erase…")
    await page.shows("dialog p", " with pictures")
    await page.looked_at("erase")
    await page.click("dialog .danger")
    await page.shows("h1", "Grace Hopper was erased")
    await page.looked_at("erased")
    told = await page.browser.run("return document.querySelector('.erasure').innerText")
    assert "Erased: the name, " in told
    assert " photo" in told
    assert " with pictures" in told
    assert "Kept: an id without a name" in told
    await page.click(".steps summary")
    await page.shows(".report", "keys")
    await page.go("people")  # by a slip
    await page.shows(".people .name", "Katherine Johnson")
    await page.shows(".reports", "Somebody was erased at")
    assert "Grace Hopper" not in await page.text()
    await page.click(".reports a")
    await page.shows(".erasure", "Grace Hopper was erased on")
    await page.click(".close")
    await page.shows(".people .name", "Katherine Johnson")
    await page.shows_not(".reports")


async def test_cameras_and_models(page):
    await page.go("cameras")
    await page.shows(".card[aria-label='Camera attic'] .state", "disabled")
    await page.shows(".card[aria-label='Camera door'] dd", "kept with pictures")
    await page.shows(".card[aria-label='Camera door'] summary", "while nothing moves")
    await page.shows(".card[aria-label='Camera door'] .delay", " ms")
    await page.shows(".card[aria-label='Camera door'] dd", "a second looked at, 5 at most")
    told = (await asked(page, "/api/v1/service"))["latency"]
    assert set(told) == {"door"}
    assert 0 < told["door"]["p50_ms"] <= told["door"]["p95_ms"]
    await page.click(".card[aria-label='Camera attic'] .enable", "Enable")
    await page.shows(".card[aria-label='Camera attic'] .state", "online")
    await page.shows(".card[aria-label='Camera attic'] .delay", " ms")
    where = (
        "const {x, y} = document.querySelector('[aria-label=\"Camera attic\"] .enable').getBoundingClientRect();"
        "return [x, y, ...[...document.querySelectorAll('nav li')].map((it) => it.getBoundingClientRect().x)]"
    )
    before = await page.browser.run(where)
    await page.click(".card[aria-label='Camera attic'] .keep", "Keep visits")
    await page.shows(".card[aria-label='Camera attic'] .keep", "Keep no visits")
    await page.click(".said .action", "Undo")
    await page.shows(".card[aria-label='Camera attic'] dd", "not kept")
    await page.shows(".card[aria-label='Camera attic'] .state", "online")
    spoken = "document.querySelector('.delay').closest('[aria-live], [role=status], [role=alert]')"
    assert await page.browser.run(f"return {spoken}") is None, "or it is said every few seconds"
    await page.looked_at("cameras")
    page.service.run("cameras", "set", "attic", "loop=false")
    await page.shows(".card[aria-label='Camera attic'] .last", " ago")  # its clip is over
    await page.shows_not(".card[aria-label='Camera attic'] .delay")
    await page.looked_at("camera-offline")
    await page.click(".card[aria-label='Camera attic'] .enable", "Disable")
    await page.shows(".card[aria-label='Camera attic'] .state", "disabled")
    assert await page.browser.run(where) == before, "where the pointer is, is the same button"
    await page.click(".card[aria-label='Camera door'] .probe")
    await page.shows("dialog dd", "960 x 640")
    await page.looked_at("probe")
    await page.click("dialog header button")
    await page.go("models")
    await page.shows(".card .state", "serves on")
    await page.shows(".chosen", "Chosen by the service")
    await page.shows(".free", "of RAM")
    await page.shows(".missing summary", "be had here")
    states = await page.browser.run("return [...document.querySelectorAll('.card .state')].map((it) => it.innerText)")
    assert {*states} == {"serves on the processor", ""}, "nothing that looks broken: what can't be had is folded"
    await page.shows(".card[aria-label='Model nano_embed'] .memory", "of RAM")
    await page.shows(".card[aria-label='Model nano_det'] .memory", "of RAM")
    await page.looked_at("models")
    await page.click(".auto")
    await page.shows(".said", "nano_embed serves")
    await page.shows(".chosen", "Chosen by the service: nano_embed on the processor")


async def test_thresholds_are_computed_and_kept(page):
    await page.go("service")
    await page.shows(".service .state", "All of it runs")
    await page.shows(".service dd", "1 of 2 online")
    await page.shows(".spaces .state", "s own")
    await page.click(".asked button", "Compute")
    await page.shows(".trouble", "enrol two at least")
    people = [await enrolled(page, f"Person {number}", number) for number in range(2)]
    await page.click(".asked button", "Compute")
    await page.shows(".rates p", "strangers is taken for somebody")
    await page.shows(".rates .now", "in 100 are missed")  # at the threshold in use
    await page.shows(".spaces .missed", "in 100 of their faces")
    (curve,) = await page.browser.run(
        "return [...document.querySelectorAll('.plot .strangers')].map((it) => it.getTotalLength())"
    )
    assert curve > 200, "the plot's line goes down and along"
    spoken = await page.browser.run("return document.querySelector('.plot').getAttribute('aria-label')")
    assert "taken for somebody" in spoken
    await page.browser.run("document.querySelector('.rates').scrollIntoView()")
    await page.looked_at("calibration")
    await page.click(".rates summary")
    await page.shows(".rates td", "%")
    await page.click(".keep")
    await page.shows(".said", "by these thresholds")
    await page.shows(".spaces .state", "in use")
    await page.shows(".spaces .missed", "in 100 of their faces")
    await page.looked_at("service")
    (space,) = (await asked(page, "/api/v1/calibration"))["spaces"].values()
    assert space["state"] == "used"
    for person in people:
        page.service.run("people", "forget", person, "--yes")


async def enrolled(page: Page, name: str, number: int) -> str:
    """One of the portraits that no other test here enrols."""
    photo = EVERYBODY[-1 - number].file.read_bytes()
    async with httpx.AsyncClient(base_url=page.service.http, headers=bearer(page.token), timeout=30) as api:
        answer = await api.post("/api/v1/people", data={"name": name}, files={"images": ("1.jpg", photo)})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]


async def test_a_viewer_sees_and_changes_nothing(page):
    token = await page.new_token("the wall", "viewer")
    await page.click(".who button", "Sign out")
    await page.sign_in(token)
    await page.go("events")
    await page.shows(".visit")
    assert await page.browser.run("return document.querySelectorAll('.visit .buttons button').length") == 0
    await page.go("enrol")
    await page.shows(".empty", "may look, and change nothing")
    page.service.run("tokens", "revoke", "the wall")  # under an open page
    await page.shows(".sign-in .notice", "Your session is over")
    await page.sign_in()


async def test_a_service_that_is_started_anew_under_an_open_page(page):
    await page.go("events")
    await page.shows(".visit")
    address = page.service.http
    await page.go("cameras")
    await page.shows(".card[aria-label='Camera door'] .state", "online")
    await page.go("service")
    await page.shows(".service .state", "All of it runs")
    page.service.stop()
    await page.shows(".away", "does not answer")
    await page.shows(".service .state", "It does not answer")
    await page.go("events")  # what is asked for while nobody answers comes when somebody does
    await page.shows(".waiting", "One moment")
    await page.shows_not(".empty")
    await page.looked_at("away")
    pin(page.service, address)
    page.service.start()
    await page.service.until_ready("camera door")
    await page.shows_not(".away")
    await page.shows("h1", "Events")  # where one was, by the same session
    await page.shows(".title .state", "as they happen")
    await page.shows(".visit .now", "there now")


def pin(service: ServiceProcess, address: str) -> None:
    """The same port again: the page is there."""
    file = service.data.parent / "whosthere-under-test.yaml"
    file.write_text(file.read_text().replace("port: 0", f"port: {httpx.URL(address).port}"))


async def test_words_instead_of_an_empty_page(page):
    """A browser of before 2022, and one that does not get all of it."""
    devtools = page.browser.devtools
    old = await devtools("Page.addScriptToEvaluateOnNewDocument", source="delete AbortSignal.timeout")
    await page.browser.open(f"{page.service.http}/?old")
    await page.shows("#too-old", "too old for this page: it needs Chrome")
    await devtools("Page.removeScriptToEvaluateOnNewDocument", **old)
    await devtools("Network.enable")
    await devtools("Network.setBlockedURLs", urls=["*/page/visits.js"])
    await page.browser.open(f"{page.service.http}/")
    await page.shows("#not-loaded", "has not sent all of this page")
    assert await page.browser.run("return document.getElementById('too-old').hidden")
    await devtools("Network.setBlockedURLs", urls=[])
    await page.click("#not-loaded a", "Load it anew")
    await page.shows("h1", "Live")
    await devtools("Network.disable")


@pytest.mark.thorough
async def test_a_list_of_thousands_is_scrolled(page):
    async with httpx.AsyncClient(base_url=page.service.http, headers=bearer(page.token), timeout=60) as api:
        for number in range(1, 521):
            answer = await api.post("/api/v1/people", json={"name": f"Person {number:05}"})
            assert answer.status_code == 201, answer.text
    await page.go("people")
    await page.shows(".people .name", "Person 00001")  # after Katherine Johnson
    drawn = "document.querySelectorAll('.people li').length"
    assert await page.browser.run(f"return {drawn}") < 60
    await page.browser.run("scrollTo(0, document.body.scrollHeight)")
    await page.browser.until("document.querySelector('.filters .quiet').innerText === '521 people'")
    await page.browser.run("scrollTo(0, document.body.scrollHeight)")
    await page.shows(".people .name", "Person 00520")
    assert await page.browser.run(f"return {drawn}") < 60
    await page.type("input[type=search]", "00314")
    await page.shows(".people .name", "Person 00314")
    await page.browser.until(f"{drawn} === 1")
