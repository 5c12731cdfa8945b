"""Headless Firefox by WebDriver BiDi, which it speaks by itself: opens pages, runs scripts, takes pictures.

What `Browser` is for Chromium, by the same methods. A process of its own, with a profile of its own; both end with the
context. Nothing but Firefox (`firefox-esr` or `firefox`) is needed.
"""

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect

from tests.live.servers import unused_port
from tests.live.service import until

ANSWER_WITHIN_S = 60.0
NAMES = ("firefox-esr", "firefox")
# Nothing is asked of anybody outside, no picture moves, and a camera that is made up may be used by whoever asks.
_PREFERENCES = {
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.disable_beforeunload": True,
    "media.gmp-manager.updateEnabled": False,
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.server": "",
    "ui.prefersReducedMotion": 1,
}


def program() -> str | None:
    """Of Firefox; None where it is not installed."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Firefox:
    """preferences: more of Firefox's, like {"media.peerconnection.enabled": False}."""

    def __init__(self, preferences: dict[str, object] | None = None) -> None:
        self._preferences = _PREFERENCES | (preferences or {})
        self._port = unused_port()
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._said: list[str] = []
        self._tab = ""
        self._count = 0

    async def __aenter__(self) -> Self:
        path = program()
        assert path is not None, "Firefox is not installed"
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in self._preferences.items()]
        (self.profile / "user.js").write_text("\n".join(lines))
        self._process = subprocess.Popen(
            [path, "--headless", "--no-remote", "--profile", self._folder.name, *self._listening()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await until(self._listens, ANSWER_WITHIN_S)
            await self.ask("session.new", capabilities={})
            await self.ask("session.subscribe", events=["log.entryAdded"])
            # The first tab's address has the focus, and its buttons take no key.
            self._tab = (await self.ask("browsingContext.create", type="tab"))["context"]
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        try:
            if self._socket is not None:
                await self._socket.close()
            if self._reader is not None:
                await self._reader
        finally:
            self._process.terminate()
            self._process.wait(30)
            self._folder.cleanup()

    @property
    def profile(self) -> Path:
        """The browser's own folder; it goes with the browser."""
        return Path(self._folder.name)

    async def open(self, url: str) -> None:
        """Returns when the page is loaded."""
        await self.ask("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    async def run(self, script: str, *arguments: object) -> Any:
        """A function's body, `return` included; a promise is waited for."""
        function = (
            f"async (given) => {{const done = await (async function () {{{script}\n}}).apply(null, JSON.parse(given));"
            " return JSON.stringify(done ?? null);}"
        )
        answer = await self.ask(
            "script.callFunction",
            functionDeclaration=function,
            awaitPromise=True,
            target={"context": self._tab},
            arguments=[{"type": "string", "value": json.dumps(arguments)}],
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"]["value"])

    async def until(self, script: str, within_s: float = 30.0) -> None:
        """Until an expression is true."""
        await until(lambda: self.run(f"return Boolean({script})"), within_s)

    async def keys(self, selector: str, text: str) -> None:
        """Typed into an element."""
        await self.run("document.querySelector(arguments[0]).focus()", selector)
        await self.press(*text.replace("\n", "\ue007"))

    async def press(self, *keys: str) -> None:
        """Keys one after the other, for whatever has the focus; WebDriver has numbers for those without a sign."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        await self.ask("input.performActions", context=self._tab, actions=[keyboard])

    async def resize(self, width: int, height: int) -> None:
        """The page's own size, in CSS pixels."""
        await self.ask("browsingContext.setViewport", context=self._tab, viewport={"width": width, "height": height})

    async def dark(self, is_dark: bool) -> None:
        """What the page is told of the user's taste: a preference, which Firefox's own windows alone can set."""
        windows = await self.ask("browsingContext.getTree", **{"moz:scope": "chrome"})
        name = "layout.css.prefers-color-scheme.content-override"
        await self.ask(
            "script.evaluate",
            expression=f"Services.prefs.setIntPref({json.dumps(name)}, {0 if is_dark else 1})",
            awaitPromise=False,
            target={"context": windows["contexts"][0]["context"]},
        )

    async def screenshot(self, file: Path) -> None:
        picture = await self.ask("browsingContext.captureScreenshot", context=self._tab)
        file.write_bytes(base64.b64decode(picture["data"]))

    async def complaints(self) -> list[str]:
        """What the console said since it was asked last, from warnings up."""
        said, self._said = self._said, []
        return said

    async def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """A command of WebDriver BiDi; its result."""
        assert self._socket is not None
        self._count += 1
        number, answer = self._count, asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        found: dict[str, Any] = await asyncio.wait_for(answer, ANSWER_WITHIN_S)
        assert found["type"] == "success", f"{method}: {found.get('error')}: {found.get('message')}"
        return dict(found["result"])

    def _listening(self) -> list[str]:
        return [f"--remote-debugging-port={self._port}", "--remote-allow-system-access"]

    async def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "Firefox has ended"
        try:
            self._socket = await connect(f"ws://127.0.0.1:{self._port}/session", max_size=1 << 26, proxy=None)
        except OSError:
            return False
        self._reader = asyncio.create_task(self._read(self._socket), name="what Firefox says")
        return True

    async def _read(self, socket: ClientConnection) -> None:
        async for text in socket:
            said = json.loads(text)
            if said["type"] == "event":
                entry = said["params"]
                if entry.get("level") in ("warn", "error"):
                    self._said.append(f"{entry['level']}: {entry.get('text')}")
            elif (answer := self._answers.pop(said["id"], None)) is not None and not answer.done():
                answer.set_result(said)
