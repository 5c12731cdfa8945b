"""A scrape while the service starts and stops: nobody listens, or a whole answer, and never something in between."""

import asyncio
import itertools
import ssl
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.faces import KNOWN, write_film
from tests.live.servers import unused_port
from tests.live.service import ServiceProcess, until

pytestmark = pytest.mark.live

REFUSED = "nobody listens"


class Scraper:
    """Asks /metrics again and again, on a connection of its own each time, as Prometheus does after a failure."""

    def __init__(self, port: int) -> None:
        self.answers: list[int | str] = []
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used: httpx would read all authorities each time

    async def run(self) -> None:
        while True:
            self.answers.append(await self._scrape())
            await asyncio.sleep(0.1)

    async def _scrape(self) -> int | str:
        async with httpx.AsyncClient(timeout=30, verify=self._tls) as client:
            try:
                answer = await client.get(self._url)
            except httpx.ConnectError:
                return REFUSED
        if answer.status_code == 200:
            names = {family.name for family in text_string_to_metric_families(answer.text)}
            assert {"whosthere_build_info", "whosthere_loop_lag_seconds", "process_open_fds"} <= names
        else:
            assert answer.json()["code"] == "service_stopping", answer.text
        return answer.status_code


async def test_a_scrape_during_start_and_stop(tmp_path: Path, broker) -> None:
    port = unused_port()
    film = write_film(tmp_path / "door.mp4", ([KNOWN], 1))
    config = {
        "paths": {"data": "data"},
        "http": {"port": port},
        "mqtt": {"port": broker.port},
        "cameras": {"door": {"url": str(film), "fps": 5, "loop": True}},
    }
    scraper = Scraper(port)
    with ServiceProcess(tmp_path, config) as service:
        scraping = asyncio.create_task(scraper.run())
        await service.until_ready("camera door", "broker")
        answered = scraper.answers.count(200)
        await until(lambda: scraper.answers.count(200) > answered)
        broker.freeze()  # so that the stop takes its time: what is due is to be sent
        assert await asyncio.to_thread(service.stop) == 0
        seen = len(scraper.answers)
        await until(lambda: scraping.done() or len(scraper.answers) > seen + 1)
        assert not scraping.done(), scraping.exception()
        scraping.cancel()
    turns = [answer for answer, _ in itertools.groupby(scraper.answers)]
    assert [turn for turn in turns if turn != 503] == [REFUSED, 200, REFUSED], turns
