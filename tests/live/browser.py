"""Headless Chromium by way of chromedriver (W3C WebDriver, plain HTTP): opens pages, runs scripts, takes pictures.

A process of its own, with a profile of its own; both end with the context.
"""

import base64
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.live.servers import unused_port
from tests.live.service import until

_SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


class Browser:
    """`switches`: more of Chromium's, like --use-fake-device-for-media-stream."""

    def __init__(self, *switches: str) -> None:
        self._switches = [*_SWITCHES, *switches]
        self._port = unused_port()
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._driver: subprocess.Popen[bytes] | None = None
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", timeout=60)
        self._session = ""

    async def __aenter__(self) -> Self:
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={self._port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            await until(self._listens, 30)
            chrome = {"args": [*self._switches, f"--user-data-dir={self._folder.name}"]}
            wanted = {"browserName": "chrome", "goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL"}}
            answer = await self._client.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
            self._session = f"/session/{answer.json()['value']['sessionId']}"
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._driver is not None
        try:
            if self._session:
                await self._client.delete(self._session)
        finally:
            await self._client.aclose()
            self._driver.terminate()
            self._driver.wait(30)
            self._folder.cleanup()

    @property
    def driver_pid(self) -> int:
        """Of chromedriver, whose children Chromium's processes are."""
        assert self._driver is not None
        return self._driver.pid

    @property
    def profile(self) -> Path:
        """The browser's own folder; it goes with the browser."""
        return Path(self._folder.name)

    async def open(self, url: str) -> None:
        """Returns when the page is loaded."""
        await self._ask("/url", {"url": url})

    async def run(self, script: str, *arguments: object) -> Any:
        """A function's body, `return` included; a promise is waited for."""
        return await self._ask("/execute/sync", {"script": script, "args": list(arguments)})

    async def until(self, script: str, within_s: float = 30.0) -> None:
        """Until an expression is true."""
        await until(lambda: self.run(f"return Boolean({script})"), within_s)

    async def keys(self, selector: str, text: str) -> None:
        """Typed into an element."""
        found = await self._ask("/element", {"using": "css selector", "value": selector})
        (element,) = found.values()
        await self._ask(f"/element/{element}/value", {"text": text})

    async def press(self, *keys: str) -> None:
        """Keys one after the other, for whatever has the focus; WebDriver has numbers for those without a sign."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        await self._ask("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    async def resize(self, width: int, height: int) -> None:
        """The page's own size, in CSS pixels; below 500 wide too, unlike a window's."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        await self.devtools("Emulation.setDeviceMetricsOverride", **size)

    async def dark(self, is_dark: bool) -> None:
        """What the page is told of the user's taste."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}]
        await self.devtools("Emulation.setEmulatedMedia", features=features)

    async def devtools(self, command: str, **parameters: object) -> Any:
        """A command of Chromium's DevTools protocol."""
        return await self._ask("/goog/cdp/execute", {"cmd": command, "params": parameters})

    async def screenshot(self, file: Path) -> None:
        picture = await self._ask("/screenshot", None)
        file.write_bytes(base64.b64decode(picture))

    async def complaints(self) -> list[str]:
        """What the console said since it was asked last, from warnings up."""
        entries = await self._ask("/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]

    async def _ask(self, path: str, body: dict[str, object] | None) -> Any:
        url = self._session + path
        answer = await (self._client.get(url) if body is None else self._client.post(url, json=body))
        value = answer.json()["value"]
        assert answer.is_success, value.get("message")
        return value

    async def _listens(self) -> bool:
        assert self._driver is not None
        assert self._driver.poll() is None, "chromedriver has ended"
        try:
            return bool((await self._client.get("/status")).json()["value"]["ready"])
        except httpx.TransportError:
            return False
