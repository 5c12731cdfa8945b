"""A real Prometheus on 127.0.0.1 that scrapes one target every second, asked over its HTTP API; ended by its pid.

A target goes in, series come out. Blocks for the moments that starting and asking take; its data lies in a folder.
"""

import json
import math
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from tests.live.servers import unused_port

STARTS_WITHIN_S = 30.0
Series = list[tuple[float, float]]


class Prometheus:
    """Started on entry. aim() says whom it scrapes, before that nobody."""

    def __init__(self, folder: Path, job: str = "whosthere") -> None:
        self._folder = folder / "prometheus"
        self._folder.mkdir()
        self._targets = self._folder / "targets.json"
        self._targets.write_text("[]")
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{unused_port()}"
        scrape = {"job_name": job, "file_sd_configs": [{"files": [str(self._targets)], "refresh_interval": "1s"}]}
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [scrape]}
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Self:
        program = shutil.which("prometheus")
        if program is None:
            if os.environ.get("CI"):
                pytest.fail("needs Debian's prometheus")
            pytest.skip("needs Debian's prometheus")
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(program, f"--config.file={self._folder}/prometheus.yml", "--log.level=warn"),
                    *(
                        f"--storage.tsdb.path={self._folder}/data",
                        f"--web.listen-address={self.url.partition('//')[2]}",
                    ),
                ],
                stdout=log,
                stderr=log,
            )
        give_up_s = time.monotonic() + STARTS_WITHIN_S
        while not self._is_ready():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < give_up_s, "Prometheus does not start"
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def aim(self, url: str) -> None:
        """Scrape /metrics there, from now on."""
        made = self._folder / "targets.new"
        made.write_text(json.dumps([{"targets": [url.partition("//")[2]]}]))
        made.rename(self._targets)

    def at(self, expr: str, moment_s: float) -> list[tuple[dict[str, str], float]]:
        """An instant query: (labels, value) of each series. Raises ValueError as Prometheus tells it."""
        found = self._ask("query", query=expr, time=moment_s)
        return [(one["metric"], float(one["value"][1])) for one in found["result"]]

    def over(self, expr: str, start_s: float, end_s: float, step_s: float = 1.0) -> list[tuple[dict[str, str], Series]]:
        """A range query: (labels, points) of each series; NaN is no point, as in Grafana. Raises ValueError."""
        found = self._ask("query_range", query=expr, start=start_s, end=end_s, step=step_s)
        return [
            (one["metric"], [(at, float(value)) for at, value in one["values"] if not math.isnan(float(value))])
            for one in found["result"]
        ]

    def labels(self, metric: str, label: str) -> list[str]:
        """What Grafana's label_values(metric, label) finds."""
        found: list[str] = self._ask(f"label/{label}/values", **{"match[]": metric})
        return found

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/-/ready", timeout=1):
                return True
        except (URLError, ConnectionError, TimeoutError):
            return False

    def _ask(self, path: str, **parameters: Any) -> Any:
        try:
            with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=20) as answer:
                return json.load(answer)["data"]
        except HTTPError as error:
            told: Mapping[str, Any] = json.load(error)
            raise ValueError(f"{told['errorType']}: {told['error']}") from None
