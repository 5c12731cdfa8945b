#!/usr/bin/env python3
"""The pictures of docs/page.md: every screen of the page in light and dark, wide and on a phone, as JPEG files.

    python scripts/picture-page.py [--into docs/pictures] [--only live events ...]

A real service beside a mosquitto of its own, four cameras that are clips of framed portraits (model/faces: one is real,
the others are nobody), and headless Chromium, all on this machine. Blocks for some three minutes.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import httpx
import numpy as np

from recognition.checks.portraits import Portrait
from tests.conftest import PROJECT
from tests.faces import KNOWN, STRANGERS, head
from tests.live.browser import Browser
from tests.live.mosquitto import Mosquitto
from tests.live.publishing import fake_camera
from tests.live.service import ServiceProcess, until
from tests.streamer.access.keys import bearer

WIDTH, HEIGHT, FPS = 1280, 720, 5
WIDE, PHONE = (1280, 800), (390, 800)
GRANDPA, SAM, NORA, OMAR, LEO = STRANGERS
NAMES = {KNOWN: KNOWN.name or "", SAM: "Sam", NORA: "Nora"}

Cast = Sequence[Portrait | None]


class Wall(NamedTuple):
    """A camera's: its colour (BGR), and who hangs there for how many seconds, one after the other."""

    colour: tuple[int, int, int]
    shots: Sequence[tuple[Cast, int]]


THERE_S, NOBODY = 9, ((), 3)


def _shots(*casts: Cast) -> list[tuple[Cast, int]]:
    return [shot for cast in casts for shot in ((cast, THERE_S), NOBODY)]


WALLS = {
    "door": Wall((150, 160, 165), _shots((None, KNOWN, None), (GRANDPA, None, None), (None, None, NORA))),
    "garden": Wall((120, 150, 125), _shots((None, GRANDPA, None), (), (SAM, None, None))),
    "hall": Wall((140, 145, 175), _shots((NORA, None, OMAR), (KNOWN, None, None), (None, OMAR, None))),
    "garage": Wall((140, 135, 130), _shots((None, None, LEO), (None, SAM, None), ())),
}


def picture(wall: Wall, cast: Cast, second: float) -> np.ndarray:
    """(720, 1280, 3) BGR: framed portraits, as large as somebody two metres away, on a wall that sways a little."""
    light = np.linspace(1.12, 0.8, HEIGHT)[:, None, None]
    seen = np.clip(np.full((HEIGHT, WIDTH, 3), wall.colour, np.float64) * light, 0, 255).astype(np.uint8)
    cv2.rectangle(seen, (0, HEIGHT - 90), (WIDTH, HEIGHT), tuple(one * 0.55 for one in wall.colour), -1)
    for place, portrait in enumerate(cast):
        if portrait is not None:
            side, left = 270, 110 + 400 * place + round(8 * np.sin(second * 2))
            top = 190 + round(5 * np.cos(second * 1.6))
            cv2.rectangle(seen, (left - 26, top - 20), (left + side + 34, top + side + 40), (60, 60, 60), -1)
            cv2.rectangle(seen, (left - 30, top - 30), (left + side + 30, top + side + 30), (40, 60, 80), -1)
            cv2.rectangle(seen, (left - 18, top - 18), (left + side + 18, top + side + 18), (235, 238, 240), -1)
            seen[top : top + side, left : left + side] = cv2.resize(head(portrait), (side, side))
    return seen


def write_clip(file: Path, wall: Wall) -> Path:
    with av.open(str(file), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", FPS
        shown = [cast for cast, seconds in wall.shots for _ in range(seconds * FPS)]
        for number, cast in enumerate(shown):
            pixels = picture(wall, cast, number / FPS)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))
    return file


class Studio:
    """The page in a browser, and where its pictures go."""

    def __init__(self, browser: Browser, service: ServiceProcess, into: Path, scratch: Path) -> None:
        self.browser, self.service = browser, service
        self._into, self._scratch = into, scratch

    async def go(self, where: str, shows: str) -> None:
        await self.browser.run("location.hash = arguments[0]", f"#/{where}")
        await self.browser.until(f"document.querySelector({json.dumps(shows)})")

    async def click(self, selector: str, words: str = "") -> None:
        script = (
            "const it = [...document.querySelectorAll(arguments[0])]"
            ".find((it) => it.checkVisibility() && !it.disabled && it.innerText.includes(arguments[1]));"
            "it?.click(); return Boolean(it)"
        )
        await until(lambda: self.browser.run(script, selector, words), 30)

    async def close(self) -> None:
        await self.browser.press("\ue00c")
        await self.browser.until("!document.querySelector('dialog[open]')")

    async def take(self, name: str) -> None:
        """Light, dark and on a phone, side by side: 1498x400."""
        seen = []
        for size, is_dark in ((WIDE, False), (WIDE, True), (PHONE, False)):
            await self.browser.resize(*size)
            await self.browser.dark(is_dark)
            await asyncio.sleep(1.5)  # pictures of the new size, and whatever moves has come to rest
            await self.browser.screenshot(self._scratch / "one.png")
            pixels = cv2.imread(str(self._scratch / "one.png"))
            assert pixels is not None
            seen += [cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)]
            seen += [np.full((400, 8, 3), 128, np.uint8)]
        cv2.imwrite(str(self._into / f"page-{name}.jpg"), np.hstack(seen[:-1]), [cv2.IMWRITE_JPEG_QUALITY, 86])
        sys.stdout.write(f"page-{name}.jpg\n")
        sys.stdout.flush()
        await self.browser.resize(*WIDE)
        await self.browser.dark(False)


async def live(studio: Studio) -> None:
    await studio.go("live", ".tile")
    await studio.browser.until("document.querySelectorAll('.present li').length >= 5", 120)
    await studio.take("live")


async def camera(studio: Studio) -> None:
    await studio.go("live/door", ".tile.large")
    await studio.browser.until("document.querySelector('.present li')", 60)
    await studio.take("camera")


async def events(studio: Studio) -> None:
    await studio.go("events", ".visit")
    await studio.browser.until(
        "[...document.querySelectorAll('.visit')].slice(0, 8)"
        ".filter((it) => it.querySelector('img')?.naturalWidth).length > 7",
        120,
    )
    await studio.take("events")


async def who_is_this(studio: Studio) -> None:
    await studio.go("events", ".visit")
    await studio.click(".visit button", "Who is this?")
    await studio.browser.until("document.querySelector('dialog[open] input')")
    await studio.take("who-is-this")
    await studio.close()


async def correction(studio: Studio) -> None:
    await studio.go("events", ".visit")
    await studio.click(".visit button", "Not ")
    await studio.browser.until("document.querySelector('.correction')")
    await studio.take("correction")


async def people(studio: Studio) -> None:
    await studio.go("people", ".people a")
    await studio.take("people")


async def person(studio: Studio) -> None:
    await studio.go("people", ".people a")
    await studio.click(".people a", KNOWN.name or "")
    await studio.browser.until("document.querySelector('.photos img')?.naturalWidth > 0")
    await studio.take("person")


async def enrol(studio: Studio) -> None:
    await studio.go("enrol", "form")
    await studio.take("enrol")


async def review(studio: Studio) -> None:
    await studio.go("review", ".cluster")
    await studio.take("review")


async def cameras(studio: Studio) -> None:
    await studio.go("cameras", ".card")
    await studio.take("cameras")


async def models(studio: Studio) -> None:
    await studio.go("models", ".card")
    await studio.take("models")


async def service(studio: Studio) -> None:
    await studio.go("service", "main button")
    await studio.click("main button", "Compute")
    await studio.browser.until("document.querySelector('main svg')", 60)
    await studio.browser.run("document.querySelector('main svg').scrollIntoView({block: 'center'})")
    await studio.take("service")


async def erased(studio: Studio) -> None:
    """The last of all: nobody is left of whom it was."""
    await studio.go("people", ".people a")
    await studio.click(".people a", "Sam")
    await studio.click("button.danger", "Erase")
    await studio.click("dialog .danger", "Erase")
    await studio.browser.until("document.querySelector('h1')?.innerText.includes('was erased')", 60)
    await studio.take("erased")


SCREENS: dict[str, Callable[[Studio], Awaitable[None]]] = {
    "live": live,
    "camera": camera,
    "events": events,
    "who-is-this": who_is_this,
    "correction": correction,
    "people": people,
    "person": person,
    "enrol": enrol,
    "review": review,
    "cameras": cameras,
    "models": models,
    "service": service,
    "erased": erased,
}


async def take_all(into: Path, only: Sequence[str], folder: Path) -> None:
    clips = {name: write_clip(folder / f"{name}.mp4", wall) for name, wall in WALLS.items()}
    watched = {name: {"url": clip.name, "fps": FPS, "loop": True, "snapshots": True} for name, clip in clips.items()}
    with Mosquitto(folder) as broker:
        config = {
            "paths": {"data": "data"},
            "mqtt": {"port": broker.port},
            "cameras": watched | {"attic": {"url": clips["door"].name, "enabled": False}},
            "events": {"keep_unknown_h": 24},
        }
        service = ServiceProcess(folder, config)
        for portrait, name in NAMES.items():
            photo = folder / "photo.jpg"
            cv2.imwrite(str(photo), portrait.image().bgr())
            service.run("enrol", name, photo)
        token = json.loads(service.run("tokens", "make", "the desk", "--role", "operator", "--json"))["token"]
        with service:
            await service.until_ready("broker", *(f"camera {name}" for name in watched))
            assert service.http is not None
            async with (
                Browser("--lang=en-GB", *fake_camera(folder, clips["hall"])) as browser,
                httpx.AsyncClient(base_url=service.http, headers=bearer(token), timeout=30) as api,
            ):
                await browser.resize(*WIDE)
                await browser.open(f"{service.http}/")
                await browser.until("document.querySelector('#token')")
                studio = Studio(browser, service, into, folder)
                if "sign-in" in only:
                    await studio.take("sign-in")
                await browser.keys("#token", f"{token}\n")
                await browser.until("document.querySelector('nav')")

                async def enough() -> bool:
                    return len((await api.get("/api/v1/events?limit=50")).json()["events"]) > 20

                await until(enough, 180)
                for name in SCREENS:
                    if name in only:
                        await SCREENS[name](studio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=PROJECT / "docs" / "pictures")
    parser.add_argument("--only", nargs="+", choices=["sign-in", *SCREENS], default=["sign-in", *SCREENS])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(take_all(arguments.into.resolve(), arguments.only, Path(folder)))


if __name__ == "__main__":
    main()
