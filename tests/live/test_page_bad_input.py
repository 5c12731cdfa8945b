"""Acceptance: what goes wrong under an open page, in headless Chromium over a real service: addresses typed by hand, a
photo of 100 megapixels, names with markup, answers that are refused or break off, two who correct the same visit, a
camera that goes while it is watched, a token that is revoked meanwhile.
"""

import json
import zlib
from base64 import b64encode
from struct import pack
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.faces import EVERYBODY, KNOWN, STRANGERS, write_film
from tests.live.browser import Browser
from tests.live.page_links import BROKEN, LOST, LOST_FORM, link
from tests.live.service import ServiceProcess, until
from tests.live.test_page import DROPPED, MISFITS, Page
from tests.streamer.access.keys import bearer

pytestmark = [pytest.mark.live, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

MARKUP = "<img src=x onerror=window.hit=1> & \"'</b>"
LONG = "W" * 100
# What the page asks for is answered by these instead, one after another, then by the last of them.
ANSWERED = """
window.asked = 0;
const [part, ...answers] = arguments;
window.ours ??= window.fetch;
window.fetch = (path, how) => {
  if (!String(path).includes(part)) return window.ours(path, how);
  window.asked++;
  const [body, status] = answers.length > 1 ? answers.shift() : answers[0];
  return Promise.resolve(new Response(body, {status}));
};
"""

# What is sent there waits until go(), or is cancelled.
HELD_UP = """
const {send} = XMLHttpRequest.prototype;
XMLHttpRequest.prototype.send = function (body) {
  window.go = () => send.call(this, body);
  XMLHttpRequest.prototype.send = send;
};
"""

# Whoever follows what happens hears of so many visits by tell(visits): somebody comes, is named and goes.
TOLD = """
window.EventSource = class {
  static CLOSED = 2;
  constructor() {
    let told = 0;
    setTimeout(() => this.onopen({}));
    window.tell = async (visits) => {
      for (const end = told + visits; told < end; told++) {
        for (const [place, type] of ["new", "update", "end"].entries()) {
          const at = Date.now() / 1000, person = place ? {id: "p0123456789ab", name: "Ada Lovelace"} : null;
          const visit = {event_id: `e${told}`, seq: place + 1, type, camera: "door", person, similarity: 0.7};
          const data = JSON.stringify({...visit, snapshot: null, first_seen_at: at, captured_at: at});
          this.onmessage({lastEventId: `${told}-${place}`, data});
          if (told % 10 === 0) await new Promise((done) => setTimeout(done)); // or nobody is drawn who is there
        }
      }
    };
  }
  addEventListener() {}
  close() {}
};
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(tmp_path_factory, pytestconfig):
    """She and a stranger come and go before `door`, which keeps visits; nobody is enrolled, and no broker is there."""
    folder = tmp_path_factory.mktemp("trouble")
    film = write_film(folder / "door.mp4", ([KNOWN, None, STRANGERS[0]], 3), ((), 2))
    config = {
        "paths": {"data": "data"},
        "mqtt": {"port": 1},
        "cameras": {"door": {"url": str(film), "fps": 5, "loop": True, "snapshots": True}},
        "events": {"keep_unknown_h": 24, "faces_to_settle": 1, "gone_after_s": 0.5},
        "http": {"port": 0, "max_upload_mib": 2},
    }
    service = ServiceProcess(folder, config)
    made = json.loads(service.run("tokens", "make", MARKUP, "--role", "operator", "--json"))
    with service:
        await service.until_ready("camera door")
        async with Browser() as browser:
            await browser.resize(1280, 800)
            page = Page(browser, service, made["token"], thorough=pytestconfig.getoption("--thorough"))
            await browser.open(f"{service.http}/")
            await page.sign_in()
            await page.shows("nav", "Live")
            yield page


async def ask(page: Page, method: str, path: str, **said: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=page.service.http, headers=bearer(page.token), timeout=30) as api:
        return await api.request(method, path, **said)


def png(width: int, height: int) -> bytes:
    """Black, of one bit a point: few bytes, many points."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(1 + width // 8) * height, 9)
    header = pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "typed", ["constructor", "__proto__/x", "toString", "%E0%A4%A", "//", "live/", "../../healthz"]
)
async def test_an_address_that_is_none_leads_to_the_first_screen(page, typed):
    await page.go("people")
    await page.shows("h1", "People")
    await page.go(typed)
    await page.shows("h1", "Live")


@pytest.mark.parametrize("typed", ["..%2F..%2Fsession", "%2e%2e", "p" + "a" * 500, "%3Cimg%20src=x%3E", "%00"])
async def test_a_person_who_is_none_is_said(page, typed):
    await page.go(f"people/{typed}")
    await page.shows("h1", "Person")
    await page.shows(".trouble")


async def test_a_photo_of_100_megapixels_and_one_that_is_too_much(page):
    await page.go("enrol")
    await page.shows(".drop")
    await page.type("form.enrol input[name=name]", "Ada")
    await page.browser.run(DROPPED, ".drop", "huge.jpg", b64encode(png(10_000, 10_400)).decode())
    await page.click("form.enrol button[type=submit]", "Enrol")
    await page.shows(".trouble li", "huge.jpg")
    await page.click("button[aria-label='Leave out huge.jpg']")
    await page.browser.run(DROPPED, ".drop", "heavy.jpg", b64encode(b"\xff\xd8" + bytes(3 << 20)).decode())
    await page.click("form.enrol button[type=submit]", "Enrol")
    await page.shows(".trouble", "more than the service takes at once")
    await page.shows_not(".away")


async def test_names_are_text_on_every_screen_and_long_ones_are_wrapped(page):
    for name in (MARKUP, LONG):
        answer = await ask(page, "POST", "/api/v1/people", json={"name": name})
        assert answer.status_code == 201, answer.text
    ids = {one["name"]: one["id"] for one in (await ask(page, "GET", "/api/v1/people")).json()["people"]}
    await page.browser.resize(375, 740)
    for name in (MARKUP, LONG):
        for where in ("people", f"people/{ids[name]}", f"events?person={ids[name]}"):
            await page.go(where)
            await page.shows("h1")
            assert await page.browser.run(MISFITS) == [], (name, where)
        await page.go("people")
        await page.shows(".people .name", name)
        await page.go(f"people/{ids[name]}")
        await page.shows("h1", name)
        for button in ("Rename", "Is the same", "Erase"):
            await page.click(".buttons button", button)
            await page.shows("dialog h2", name)
            assert await page.browser.run(MISFITS) == [], (name, button)
            await page.click("dialog header button")
            await page.shows_not("dialog")
    await page.browser.resize(1280, 800)
    assert not await page.browser.run("return window.hit")


async def test_a_list_whose_next_page_is_refused_is_not_asked_for_again_and_again(page):
    await page.go("live")
    people = [{"id": f"p{number}", "name": f"Person {number}", "photos": 0, "tags": []} for number in range(20)]
    first = [json.dumps({"people": people, "next": "more"}), 200]
    refused = [json.dumps({"code": "too_many_requests", "detail": "too many requests at once"}), 429]
    await page.browser.run(ANSWERED, "/api/v1/people?", first, refused)
    await page.go("people")
    await page.shows(".people .name", "Person 0")
    await page.shows(".trouble", "too many requests at once")
    before = await page.browser.run("return window.asked")
    await page.browser.run("return new Promise((done) => setTimeout(done, 300))")
    assert await page.browser.run("return window.asked") == before
    await page.browser.run("window.fetch = window.ours")
    await page.click(".more")


async def test_what_is_refused_is_not_taken_for_nobody(page):
    await page.go("live")
    refused = [json.dumps({"code": "too_many_requests", "detail": "too many requests at once"}), 429]
    await page.browser.run(ANSWERED, "/api/v1/events?", refused)
    await page.go("events?day=2020-01-01")
    await page.shows(".trouble", "too many requests at once")
    assert await page.browser.run("return document.querySelectorAll('.empty').length") == 0
    await page.browser.run("window.fetch = window.ours")


async def test_of_two_who_rename_the_same_person_the_other_is_told_and_may_go_on(page):
    person = (await ask(page, "POST", "/api/v1/people", json={"name": "Ada Byron"})).json()["id"]
    await page.go(f"people/{person}")
    await page.click("button", "Rename")
    await page.shows("dialog h2", "Rename Ada Byron")
    renamed = await ask(page, "PATCH", f"/api/v1/people/{person}", json={"name": "Ada King"})
    assert renamed.status_code == 200, renamed.text
    await page.browser.run("const it = document.querySelector('dialog input'); it.select()")
    await page.type("dialog input[name=name]", "Ada Lovelace\n")
    await page.shows("dialog .trouble", "Somebody else has changed this meanwhile")
    await page.shows("dialog h2", "Rename Ada King")
    await page.click("dialog button.main", "Rename")
    await page.shows("h1", "Ada Lovelace")
    assert (await ask(page, "DELETE", f"/api/v1/people/{person}")).status_code == 200


async def test_photos_that_come_while_others_are_sent_are_not_forgotten(page):
    person = (await ask(page, "POST", "/api/v1/people", json={"name": "Ada Byron"})).json()["id"]
    await page.go(f"people/{person}")
    await page.shows(".drop")
    photo = b64encode(EVERYBODY[-1].file.read_bytes()).decode()  # before no camera
    await page.browser.run(HELD_UP)
    await page.browser.run(DROPPED, ".drop", "first.jpg", photo)
    await page.click("button.main", "Add the photo")
    await page.shows("button", "Stop sending")
    await page.browser.run(DROPPED, ".drop", "second.jpg", photo)
    await page.browser.run("window.go()")
    await page.shows(".report", "first.jpg")
    await page.shows("button.main", "Add the photo")
    assert await page.browser.run("return document.querySelectorAll('.photos [aria-label^=Leave]').length") == 1
    assert (await ask(page, "DELETE", f"/api/v1/people/{person}")).status_code == 200


async def test_a_service_that_is_away_says_nothing_of_its_cameras(page):
    await page.go("cameras")
    await page.shows(".card .state", "online")
    await page.shows(".card .delay", " ms")
    await page.browser.run("window.ours ??= window.fetch; window.fetch = () => Promise.reject(new TypeError())")
    await page.shows(".away", "does not answer")
    await page.shows(".card .state", "not known now")
    await page.shows_not(".card .delay")
    await page.browser.run("window.fetch = window.ours")
    await page.shows(".card .state", "online")
    await page.shows(".card .delay", " ms")


async def test_an_answer_that_breaks_off_is_a_service_that_is_away(page):
    await page.go("live")
    await page.browser.run(ANSWERED, "/api/v1/people?", ['{"people": [', 200])
    await page.go("people")
    await page.browser.until("window.asked > 0")
    await page.browser.run("window.fetch = window.ours")
    await page.shows(".people .name")
    assert await page.browser.run("return document.querySelectorAll('.trouble').length") == 0


async def oldest(page: Page) -> str:
    """Of the unknown visits that are shown, all of which have been asked for; it is written down, too."""
    await page.shows(".visit .who-is-this")
    await page.shows_not("main .waiting")
    shown = "return [...document.querySelectorAll('.visit[data-known=false]')].map(({dataset}) => dataset.id)"
    kept: list[str] = []

    async def is_kept() -> bool:
        for event_id in reversed(await page.browser.run(shown)):
            if (await ask(page, "GET", f"/api/v1/events/{event_id}")).status_code == 200:
                kept.append(event_id)
                return True
        return False

    await until(is_kept, 30)
    return kept[0]


async def test_of_two_who_say_who_it_was_the_first_counts_and_the_other_is_told(page):
    ids = {one["name"]: one["id"] for one in (await ask(page, "GET", "/api/v1/people")).json()["people"]}
    await page.go("events?who=unknown")
    event_id = await oldest(page)
    visit, path = f".visit[data-id='{event_id}']", f"/api/v1/events/{event_id}"
    await page.click(f"{visit} .who-is-this")
    assert (await ask(page, "PATCH", path, json={"person": ids[LONG]})).status_code == 200
    await page.type("dialog input[name=name]", "Grace Hopper\n")
    await page.shows(".said", f"it is {LONG} now")
    await page.shows_not("dialog")
    names = [one["name"] for one in (await ask(page, "GET", "/api/v1/people")).json()["people"]]
    assert "Grace Hopper" not in names, "nobody is enrolled by a visit that is somebody else's"
    await page.go("events?who=known")
    await page.click(f"{visit} .wrong", f"Not {LONG}?")
    assert (await ask(page, "PATCH", path, json={"person": ids[MARKUP]})).status_code == 200
    await page.click(".correction .nobody")
    await page.shows(".said", f"it is {MARKUP} now")
    await page.shows(f"{visit} .name", MARKUP)
    await page.click(f"{visit} .wrong")
    await page.click(".correction .nobody")
    await page.shows(".said", "Corrected")
    assert (await ask(page, "GET", path)).json()["events"][-1]["person"] is None


async def test_of_two_who_decide_on_a_cluster_the_other_is_told(page):
    await page.go("review")
    await page.shows(".cluster .name", "visit")
    cluster = await page.browser.run("return document.querySelector('.cluster').dataset.id")
    await page.click(f".cluster[data-id='{cluster}'] .who-is-this")
    assert (await ask(page, "POST", f"/api/v1/review/{cluster}/ignore")).status_code == 204
    await page.type("dialog input[name=name]", "Too Late\n")
    await page.shows("dialog .trouble", "Somebody else has decided on these visits")
    await page.click("dialog header button")
    assert (await ask(page, "DELETE", f"/api/v1/review/{cluster}")).status_code == 204
    await page.click(f".cluster[data-id='{cluster}'] .ignore")
    await page.shows(".cluster .trouble", "have changed since they were shown")
    await page.click(".cluster .trouble ~ .buttons button", "Refresh")
    await page.shows_not(f".cluster[data-id='{cluster}']")
    names = [one["name"] for one in (await ask(page, "GET", "/api/v1/people")).json()["people"]]
    assert "Too Late" not in names


async def test_an_erasure_that_a_proxy_answers_comes_back_with_words_and_holds_nothing_up(page):
    async def is_kept() -> bool:
        return bool((await ask(page, "GET", "/api/v1/review")).json()["clusters"])

    await until(is_kept, 30)
    await page.go("review")
    await page.shows(".cluster .name", "visit")
    cluster = await page.browser.run("return document.querySelector('.cluster').dataset.id")
    shown = f".cluster[data-id='{cluster}']"
    await page.browser.run(ANSWERED, f"/api/v1/review/{cluster}", ["<html><h1>502 Bad Gateway</h1></html>", 502])
    await page.click(f"{shown} .danger", "Erase")
    await page.shows(f".decided[data-id='{cluster}'] .undo")
    await page.browser.run("dispatchEvent(new Event('pagehide'))")  # as if the page were left: at once
    await page.shows(f"{shown} .trouble", "(502). A change may have been done")
    await page.browser.run("window.fetch = window.ours")
    await page.click(".refresh")
    await page.shows_not(".cluster .trouble")
    await page.shows(".cluster .danger", "Erase")


async def test_what_is_open_of_somebody_who_is_erased_elsewhere_is_closed(page):
    await page.go("events")
    event_id = await oldest(page)
    visit, path = f".visit[data-id='{event_id}']", f"/api/v1/events/{event_id}"
    person = (await ask(page, "POST", "/api/v1/people", json={"name": "Mary Open"})).json()["id"]
    assert (await ask(page, "PATCH", path, json={"person": person, "negative": False})).status_code == 200
    await page.shows(f"{visit} .name", "Mary Open")
    await page.click(f"{visit} .picture")
    await page.shows("dialog h2", "Mary Open")
    assert (await ask(page, "DELETE", f"/api/v1/people/{person}")).status_code == 200
    await page.shows_not("dialog")
    await page.shows(".said", "is not kept any more")
    await page.shows_not(visit)
    assert "Mary Open" not in await page.browser.run("return document.body.textContent")


async def test_what_is_said_and_erased_elsewhere_is_on_an_open_page(page):
    """Also of a visit that was read among the kept ones; a person who is erased by a command, too."""
    await page.browser.open(f"{page.service.http}/")
    await page.go("events")
    await page.shows(".visit[data-known=false]")
    event_id = await page.browser.run(
        "return [...document.querySelectorAll('.visit[data-known=false]')].at(-1).dataset.id"
    )
    visit, path = f".visit[data-id='{event_id}']", f"/api/v1/events/{event_id}"
    assert (await ask(page, "POST", "/api/v1/people", json={"name": "Mary Elsewhere"})).status_code == 201
    await page.browser.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", visit)
    for person, name in (("Mary Elsewhere", "Mary Elsewhere"), (None, "Somebody unknown"), ("Mary Elsewhere", "Mary")):
        assert (await ask(page, "PATCH", path, json={"person": person, "negative": False})).status_code == 200
        await page.shows(f"{visit} .name", name, within_s=10)
    mary = (await named(page, "Mary Elsewhere"))[0]["id"]
    assert (await ask(page, "PATCH", f"/api/v1/people/{mary}", json={"name": "Mary Anywhere"})).status_code == 200
    await page.shows(f"{visit} .name", "Mary Anywhere", within_s=10)
    other = (await ask(page, "POST", "/api/v1/people", json={"name": "Mary Elsewhere"})).json()["id"]
    assert (await ask(page, "POST", f"/api/v1/people/{mary}/merge", json={"into": other})).status_code == 200
    await page.shows(f"{visit} .name", "Mary Elsewhere", within_s=10)
    page.service.run("people", "forget", "Mary Elsewhere", "--yes")
    await page.shows_not(visit)
    assert "Mary Elsewhere" not in await page.text()
    other = await page.browser.run(
        "return [...document.querySelectorAll('.visit[data-known=false]')].at(-1).dataset.id"
    )
    assert (await ask(page, "DELETE", f"/api/v1/events/{other}")).status_code == 204
    await page.shows_not(f".visit[data-id='{other}']")


async def test_people_and_who_looks_like_them_follow_what_is_done_elsewhere(page):
    """Renamed, named, erased, and erased while the page heard nothing."""

    async def enrol(name: str) -> str:
        images = {"images": KNOWN.file.read_bytes()}
        made = await ask(page, "POST", "/api/v1/people", data={"name": name, "force": "true"}, files=images)
        assert made.status_code == 201, made.text
        await until(looks_like_somebody)
        return str(made.json()["id"])

    async def looks_like_somebody() -> bool:
        clusters = (await ask(page, "GET", "/api/v1/review")).json()["clusters"]
        return any(one["candidates"] for one in clusters)

    async def says_nothing_of_her() -> bool:
        return "Mary" not in await page.text()

    await page.go("events")
    await oldest(page)
    mary = await enrol("Mary Photo")
    await page.go("people")
    await page.shows(".people", "Mary Photo")
    assert (await ask(page, "PATCH", f"/api/v1/people/{mary}", json={"name": "Mary Row"})).status_code == 200
    await page.shows(".people", "Mary Row")
    await page.go("review")
    await page.shows(".cluster .likely", "Looks like Mary Row")
    assert (await ask(page, "PATCH", f"/api/v1/people/{mary}", json={"name": "Mary Cluster"})).status_code == 200
    await page.shows(".cluster .it-is", "It is Mary Cluster")
    await page.click(".cluster .it-is")
    await page.shows(".decided", "named Mary Cluster in")
    page.service.run("people", "forget", "Mary Cluster", "--yes")
    await until(says_nothing_of_her)
    await page.shows(".cluster .trouble")  # not enrolled any more, or the visits have changed since
    await enrol("Mary Unheard")
    await page.click(".refresh")
    await page.shows(".cluster .likely", "Looks like Mary Unheard")
    await link(page.browser, offline=True)
    await page.click(".refresh")
    await page.shows(".away")
    page.service.run("people", "forget", "Mary Unheard", "--yes")
    await link(page.browser)
    await until(says_nothing_of_her)


async def test_a_person_who_is_open_is_as_somebody_else_has_left_her(page):
    made = await ask(page, "POST", "/api/v1/people", json={"name": "Mary Open"})
    path = f"/api/v1/people/{made.json()['id']}"
    await page.go(f"people/{made.json()['id']}")
    await page.shows("h1", "Mary Open")
    await page.click("main button", "Rename")
    assert (await ask(page, "PATCH", path, json={"name": "Mary Quick"})).status_code == 200
    await page.shows("h1", "Mary Quick")
    await page.click("dialog button[type=submit]")  # what stood there was another name
    await page.shows("dialog .trouble", "Somebody else has changed this meanwhile")
    assert (await ask(page, "GET", path)).json()["name"] == "Mary Quick"
    await page.click("dialog button[type=submit]")  # and once more, having seen it
    await page.shows("h1", "Mary Open")
    await page.shows_not("dialog")
    await page.shows_not(".said button")
    await link(page.browser, offline=True)
    await page.click("main button", "Is the same person as")
    await page.shows(".away")
    page.service.run("people", "forget", "Mary Open", "--yes")
    await link(page.browser)
    await page.shows("main .trouble", "not enrolled any more")
    assert "Mary" not in await page.text()


async def test_a_cluster_that_is_erased_goes_from_events_and_what_was_missed_is_not_shown(page):
    await page.go("events")
    await page.shows(".visit .who-is-this")
    cluster = (await ask(page, "GET", "/api/v1/review")).json()["clusters"][0]
    visits = ",".join(f".visit[data-id='{one}']" for one in cluster["event_ids"])
    await page.shows(visits)
    assert (await ask(page, "DELETE", f"/api/v1/review/{cluster['id']}")).status_code == 204
    await page.shows_not(visits)
    person = (await ask(page, "POST", "/api/v1/people", json={"name": "Mary Missed"})).json()["id"]
    event_id = await oldest(page)
    told = await ask(page, "PATCH", f"/api/v1/events/{event_id}", json={"person": person, "negative": False})
    assert told.status_code == 200, told.text
    await page.shows(f".visit[data-id='{event_id}'] .name", "Mary Missed")
    await page.click(f".visit[data-id='{event_id}'] .picture")
    await page.shows("dialog h2", "Mary Missed")
    await link(page.browser, offline=True)
    await page.shows(".title .state", "not up to date")
    page.service.run("people", "forget", "Mary Missed", "--yes")
    await link(page.browser)
    await page.shows_not("dialog")
    await page.shows_not(f".visit[data-id='{event_id}']")
    assert "Mary Missed" not in await page.text()


async def test_visits_of_before_a_merge_are_shown_and_corrected_as_the_others(page):
    ids = {one["name"]: one["id"] for one in (await ask(page, "GET", "/api/v1/people")).json()["people"]}
    await page.go("events?who=unknown")
    event_id = await oldest(page)
    path = f"/api/v1/events/{event_id}"
    assert (await ask(page, "PATCH", path, json={"person": ids[LONG]})).status_code == 200
    merged = await ask(page, "POST", f"/api/v1/people/{ids[LONG]}/merge", json={"into": ids[MARKUP]})
    assert merged.status_code == 200, merged.text

    async def name() -> str | None:
        person = (await ask(page, "GET", path)).json()["events"][-1]["person"]
        return None if person is None else person["name"]

    async def is_merged() -> bool:
        return await name() == MARKUP

    async def is_nobodys() -> bool:
        return await name() is None

    await until(is_merged, 10)
    await page.go(f"events?person={ids[MARKUP]}")
    await page.click(f".visit[data-id='{event_id}'] .wrong", f"Not {MARKUP}?")
    await page.click(".correction .nobody")
    await until(is_nobodys, 10)


async def named(page: Page, name: str) -> list[dict[str, Any]]:
    return list((await ask(page, "GET", f"/api/v1/people?name={name}")).json()["people"])


async def test_photos_on_a_slow_link_are_told_of_stopped_and_go_on_when_it_is_back(page):
    await page.go("enrol")
    await page.type("form.enrol input[name=name]", "Slow")
    await page.browser.run(
        DROPPED, ".drop", "1.jpg", b64encode(STRANGERS[2].file.read_bytes() + bytes(1 << 20)).decode()
    )
    await link(page.browser, up_kb_s=100)
    await page.click("form.enrol button[type=submit]")
    await page.shows(".sending", "of 1.")
    await page.browser.run("document.querySelector('form.enrol button[type=submit]').click()")  # impatient
    await page.click(".stop")
    await page.shows(".trouble", "Nothing was changed")
    assert await named(page, "Slow") == []
    await page.browser.run(BROKEN)
    await page.click("form.enrol button[type=submit]")
    await page.browser.until("window.isBroken")
    await link(page.browser)
    await page.shows("h1", "Slow is enrolled")
    await page.shows_not(".away")
    assert len(await named(page, "Slow")) == 1


async def test_a_device_without_a_network_says_so_until_it_has_one(page):
    await page.go("service")
    await page.shows(".service dl")
    await link(page.browser, offline=True)
    for screen, words in (("people", "Nobody is enrolled"), ("events", "Nobody was seen")):
        await page.go(screen)
        await page.shows(".away", "does not answer")
        assert words not in await page.text(), "nobody knows"
    await page.go("people")
    await link(page.browser)
    await page.shows_not(".away")
    await page.shows(".people .name", "Slow")


async def test_a_change_whose_answer_is_lost_is_done_once_and_told_as_done(page):
    await page.go("people")
    await page.click(".title a", "Enrol somebody")
    await page.type("form.enrol input[name=name]", "Lost")
    await page.browser.run(DROPPED, ".drop", "1.jpg", b64encode(STRANGERS[3].file.read_bytes()).decode())
    await page.browser.run(LOST_FORM)
    await page.click("form.enrol button[type=submit]")
    await page.shows("h1", "Lost is enrolled")
    assert await page.browser.run("return window.lostForm") == 201
    await page.click(".buttons a", "Show Lost")
    await page.click("button", "Rename")
    await page.browser.run(LOST, "PATCH", "/api/v1/people/")  # by If-Match: twice it would be refused
    await page.type("dialog input[name=name]", " and found\n")
    await page.shows(".said", "Renamed: Lost and found")
    assert await page.browser.run("return window.lost") == 1
    await page.browser.run(LOST, "DELETE", "/api/v1/people/")
    await page.click("button", "Erase…")
    await page.click("dialog .danger", "Erase")
    await page.shows("h1", "was erased")  # but for what the broker retains: there is none
    await page.browser.run("window.fetch = window.ours")
    assert await named(page, "Lost") == []


@pytest.mark.thorough
async def test_visits_that_are_shown_no_more_leave_nothing_behind(page):
    """A page that is open for days: what it holds is as much after many visits as after the first ones."""
    added = await page.browser.devtools("Page.addScriptToEvaluateOnNewDocument", source=TOLD)
    await page.go("events")
    await page.browser.open(f"{page.service.http}/?#/events")
    await page.shows(".title .state", "as they happen")

    async def held_after(visits: int) -> float:
        await page.browser.run("return window.tell(arguments[0])", visits)
        await page.browser.until("document.querySelectorAll('.visit').length >= 500")
        await page.browser.devtools("HeapProfiler.collectGarbage")
        return float((await page.browser.devtools("Runtime.getHeapUsage"))["usedSize"])

    first = await held_after(540)
    assert await held_after(400) < 1.5 * first, "bytes"
    await page.browser.devtools("Page.removeScriptToEvaluateOnNewDocument", **added)
    await page.browser.open(f"{page.service.http}/")
    await page.shows("nav", "Live")


async def test_a_change_is_the_same_one_until_it_is_answered_or_another_one_is_made(page):
    keys = await page.browser.run("""
        const {isAnswered, keyOf} = await import("/page/sending.js");
        const form = (name) => {
          const made = new FormData();
          made.append("images", new File(["a"], name, {lastModified: 1}));
          return made;
        };
        const off = () => keyOf("PATCH", "/door", {enabled: false});
        const found = [off(), off(), keyOf("PATCH", "/door", {enabled: true}), off()];
        isAnswered(found.at(-1));
        const sent = (name) => keyOf("POST", "/people", undefined, form(name));
        found.push(off(), ...["1.jpg", "1.jpg", "2.jpg"].map(sent));
        return found;
    """)
    assert [keys.index(key) for key in keys] == [0, 0, 2, 3, 4, 5, 5, 7]


async def test_a_token_that_is_revoked_ends_the_page_and_what_it_watches(page):
    await page.go("live/door")
    await page.shows(".tile .state", "online")
    await page.service.until_metric("whosthere_webrtc_sessions", lambda count: count == 1, kind="whep")
    page.service.run("tokens", "revoke", MARKUP)
    await page.shows(".sign-in .notice", "Your session is over")
    assert MARKUP not in await page.text()
    await page.service.until_metric("whosthere_webrtc_sessions", lambda count: count == 0, kind="whep")
    await page.sign_in()
    await page.shows(".sign-in .trouble", "not known here")


async def test_a_camera_that_goes_while_it_is_watched(page):
    page.token = await page.new_token("another", "operator")
    await page.sign_in()
    await page.shows(".tile .state", "online")
    assert (await ask(page, "DELETE", "/api/v1/cameras/door")).status_code in (200, 204)
    await page.shows(".empty", "There is no camera “door”")
