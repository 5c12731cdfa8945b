"""Acceptance: strangers walk through a clip, some of them twice; the page's review fills with them and is emptied by
clusters: one becomes a person, who is told by name when she or he comes again, one is ignored, the others are erased.

Usually four strangers, with --thorough twenty.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.conftest import LARGER
from tests.live.browser import Browser
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.live.test_page import SIZES, Page
from tests.live.walkers import FPS, HEIGHT, Walk, compose_strangers
from tests.streamer.access.keys import bearer

pytestmark = [pytest.mark.live, pytest.mark.shared, pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="module")]

NAME = "Grace Hopper"
SHOWN_AT_ONCE = 20  # clusters


@dataclass(frozen=True)
class Watched:
    """A page over a service that has seen the clip's end. twice, people: how many came a second time, of how many."""

    page: Page
    walk: Walk
    people: int
    twice: int

    async def asked(self, path: str) -> dict[str, Any]:
        answer = await self.answer(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def answer(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.page.service.http, headers=bearer(self.page.token)) as api:
            return await api.get(path, timeout=30)

    async def is_over(self) -> bool:
        if self.page.service.http is None:
            return False
        (hall,) = (one for one in (await self.asked("/api/v1/cameras"))["cameras"] if one["name"] == "hall")
        if hall["reason"] != "ended":
            return False
        clusters = (await self.asked("/api/v1/review?limit=100"))["clusters"]  # they are written behind what is told
        return sum(one["count"] for one in clusters) >= len(self.walk.walkers)

    async def walkers(self) -> dict[str, str]:
        """Who it was in truth, by kept visit: by the path, and by when it was in the clip."""
        visits: dict[str, list[dict[str, Any]]] = {}
        for message in (await self.asked("/api/v1/events?camera=hall&limit=200"))["events"]:
            visits.setdefault(message["event_id"], []).append(message)
        began = min(m["first_seen_at"] for told in visits.values() for m in told) - self.walk.walkers[0].enter_s
        return {event_id: self._walker(told, began) for event_id, told in visits.items()}

    def _walker(self, told: list[dict[str, Any]], began: float) -> str:
        first, last = told[0]["first_seen_at"], max(message["captured_at"] for message in told)
        _, top, _, bottom = told[0]["box"]
        path = int((top + bottom) / 2 > HEIGHT / 2)
        (walker,) = (w for w in self.walk.present((first + last) / 2 - began) if w.path == path)
        return walker.person


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory, pytestconfig, shared):
    is_thorough = pytestconfig.getoption("--thorough")
    people, twice = (20, 6) if is_thorough else (4, 2)
    folder: Path = tmp_path_factory.mktemp("clip")
    faces = shared / "faces" / "lfw_dev.zip"
    walk, later = await asyncio.to_thread(compose_strangers, faces, folder, people=people, again=twice)
    kept = {"fps": FPS, "pace": "fastest", "snapshots": True}
    with Mosquitto(folder) as broker:
        config = {
            "paths": {"models": [str(shared / "models")], "data": "data"},
            "recognition": LARGER,
            "mqtt": {"port": broker.port},
            "cameras": {
                "hall": kept | {"url": str(walk.clip)},
                "stairs": kept | {"url": str(later.clip), "enabled": False},
            },
            "events": {"keep_unknown_h": 24},
            "http": {"port": 0},
        }
        service = ServiceProcess(folder, config)
        made = json.loads(service.run("tokens", "make", "the desk", "--role", "operator", "--json"))
        with service:
            async with Browser() as browser:
                await browser.resize(*SIZES["wide"])
                page = Page(browser, service, made["token"], thorough=is_thorough)
                seen = Watched(page, walk, people, twice)
                await until(seen.is_over, 240)
                yield seen


async def test_the_review_fills_with_strangers_and_is_emptied_by_clusters(watched):
    page, first = watched.page, watched.walk.walkers[0].person
    await page.browser.open(f"{page.service.http}/#/review")
    await page.sign_in()
    await page.shows(".cluster .name", "2 visits")
    await page.looked_at("review-clip")

    truth = await watched.walkers()
    assert sorted(truth.values()) == sorted(walker.person for walker in watched.walk.walkers)  # one visit a crossing
    clusters = {one["id"]: one["event_ids"] for one in (await watched.asked("/api/v1/review?limit=100"))["clusters"]}
    who = {cluster: {truth[one] for one in events} for cluster, events in clusters.items()}
    assert sum(map(len, clusters.values())) == len(truth)  # everybody is here
    assert max(map(len, who.values())) == 1  # and nobody beside somebody else
    print(f"{len(truth)} visits of {watched.people} people: {len(clusters)} clusters")  # noqa: T201
    assert len(clusters) <= watched.people + watched.twice // 3, who  # hardly anybody twice

    if len(clusters) > SHOWN_AT_ONCE:
        await page.click(".more")
    (named,) = (cluster for cluster, people in who.items() if people == {first} and len(clusters[cluster]) == 2)
    await page.click(f".cluster[data-id='{named}'] .who-is-this")
    await page.looked_at("cluster-clip")
    await page.type("dialog input[name=name]", f"{NAME}\n")
    await page.shows(".said", f"{NAME}: 2 visits named")
    await page.shows_not(f".cluster[data-id='{named}']")

    ignored, *erased = (cluster for cluster in clusters if cluster != named)
    await page.click(f".cluster[data-id='{ignored}'] .ignore")
    await page.shows_not(f".cluster[data-id='{ignored}']")
    by_mouse = "document.querySelector(arguments[0]).dispatchEvent(new MouseEvent('click', {bubbles: true, detail: 1}))"
    await page.browser.run(by_mouse, f".cluster[data-id='{erased[0]}'] .danger")
    for cluster in erased[1:]:
        await page.click(f".cluster[data-id='{cluster}'] .danger", "Erase")
        await page.shows_not(f".cluster[data-id='{cluster}']")
    await page.shows(".empty", "Nobody unknown is left")
    await page.shows(f".decided[data-id='{erased[0]}']", "erased.")  # its time is over
    await page.shows(f".decided[data-id='{erased[-1]}'] .undo")
    await page.browser.open("about:blank")  # whoever closes the page has them erased at once

    async def is_empty() -> bool:
        return not (await watched.asked("/api/v1/review"))["clusters"]

    await until(is_empty, 30)
    await page.browser.open(f"{page.service.http}/#/review")
    await page.shows(".ignored summary", "Ignored (1)")

    left = (await watched.asked("/api/v1/events?camera=hall&limit=200"))["events"]
    names = {message["event_id"]: (message["person"] or {}).get("name") for message in left}
    assert names == dict.fromkeys(clusters[named], NAME) | dict.fromkeys(clusters[ignored])
    for event_id in (event_id for cluster in erased for event_id in clusters[cluster]):
        assert (await watched.answer(f"/api/v1/events/{event_id}/snapshots/face")).status_code == 404
    actions = json.loads(page.service.run("gallery", "audit", "--json"))["entries"]
    assert {entry["actor"] for entry in actions[-len(clusters) :]} == {"the desk"}


async def test_who_was_named_there_is_told_by_name_from_then_on(watched):
    """In a photo that was not in the clip, by another camera."""
    page = watched.page
    await page.go("events?who=known")
    await page.browser.until("document.querySelectorAll('.visit').length === 2")
    await page.shows(".visit .name", NAME)
    await page.go("cameras")
    await page.click(".card[aria-label='Camera stairs'] .enable", "Enable")
    await page.go("events?who=known&camera=stairs")
    await page.shows(".visit .name", NAME)
    await page.shows_not(".visit .now")
    await page.browser.until("document.querySelector('.visit .picture img')?.naturalWidth > 0")
    await page.looked_at("told-clip")
    await page.go("review")
    await page.shows(".empty", "Nobody unknown is left")
