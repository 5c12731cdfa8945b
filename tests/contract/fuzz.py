"""schemathesis over the whole OpenAPI document of a running service, with an admin's token.

`make fuzz` is the long run: `python -m tests.contract.fuzz --seconds 900 --seed 7`. What it found is on stdout.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.conftest import PROJECT
from tests.contract.home import CAMERA, PHOTOS, Home, home
from tests.contract.operations import operations
from tests.faces import NAME

# Leniency, a value that is fine in its form and means nothing here, and 404 for something else that a request names
# are no faults; tokens that are wrong are tried role by role, and would be locked out here.
NOT_HELD_TO = ",".join(
    (
        *("negative_data_rejection", "positive_data_acceptance", "missing_required_header"),
        *("ensure_resource_availability", "ignored_auth"),
    )
)
# 501 to 503 are answers of ours, with a code: what is not installed, not reachable, not ready.
SETTINGS = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", 501, 502, 503]\n'
OTHERS = ("Ada Lovelace", "Grace Hopper", "Mary Jackson")
OF_OTHERS = ("ada.jpg", "grace.jpg", "mary.jpg")
LONGEST_LINE = 400  # of what is told: pictures are among what was sent


@dataclass(frozen=True)
class Fuzzed:
    """sent: how many requests, by status and by operation as well. grown_mib: the service's memory, after a warm-up."""

    passed: bool
    told: str
    sent: Counter[str]
    grown_mib: float
    faults: list[str]

    @property
    def only_refused(self) -> list[str]:
        """Operations of which no request was one that could be answered: little is known of them."""
        by_status = [key.rpartition(": ") for key in self.sent if ": " in key]
        answered = {operation for operation, _, status in by_status if status < "400"}
        return sorted({operation for operation, _, _ in by_status} - answered)

    def text(self) -> str:
        by_status = {key: count for key, count in self.sent.items() if key.startswith("status")}
        by_operation = "\n".join(f"{count:6} {key}" for key, count in sorted(self.sent.items()) if ": " in key)
        ours = f"{self.sent['requests']} requests, {self.sent['multipart']} of them multipart; {by_status}"
        told = "\n".join(line[:LONGEST_LINE] for line in self.told.splitlines() if line.strip())
        ours += f"\nnever answered as asked: {', '.join(self.only_refused) or 'none'}"
        return f"{by_operation}\n{told}\n{ours}\nmemory: {self.grown_mib:+.0f} MiB\n" + "\n".join(self.faults)


def fuzzed(found: Home, *, cases: int, seed: int, seconds: int | None = None) -> Fuzzed:
    """cases: of each operation and phase, at most. seconds: go on for so long. Blocks."""
    options = ["--seed", str(seed), "--exclude-checks", NOT_HELD_TO]
    streams = [operation.path for operation in operations(found.document) if operation.is_stream]
    options += ["--exclude-path-regex", f"^({'|'.join(map(re.escape, streams))})$"]  # of several options none counts
    _peopled(found)
    _run(found, ["--max-examples", "1", "--phases", "fuzzing", "--include-method", "GET", *options])
    process = psutil.Process(found.service.pid)
    before = process.memory_info().rss
    limit = ["--max-time", str(seconds)] if seconds else []
    code, told, sent = _run(found, ["--max-examples", str(cases), *limit, *options])
    grown = (process.memory_info().rss - before) / 2**20
    lines = [line for line in found.service.log() if "exception" in line]
    faults = [f"{line['message']}: {line.get('exception', '')[-1500:]}" for line in lines]
    return Fuzzed(code == 0, told, sent, grown, list(dict.fromkeys(faults)))


def _run(found: Home, options: list[str]) -> tuple[int, str, Counter[str]]:
    told = found.folder / "fuzz-sent.json"
    (found.folder / "schemathesis.toml").write_text(SETTINGS)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{found.url}/openapi.json", "--no-color"]
    command += ["--header", f"Authorization: Bearer {found.tokens['admin']}", "--continue-on-failure"]
    command += ["--generation-database", "none", "--request-timeout", "60", "--warnings", "off"]
    said = found.folder / "fuzz.txt"
    with said.open("w") as output:
        environment = found.environment() | _hooks(found, told)
        ended = subprocess.run(
            [*command, *options], cwd=found.folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    return ended.returncode, said.read_text(), Counter(json.loads(told.read_text()))


def _peopled(found: Home) -> None:
    """More people, of each of whom something is known: little can be asked of one alone."""
    with found.client() as client:
        for name, photo, other in zip(OTHERS, OF_OTHERS, reversed(OF_OTHERS), strict=True):
            file = {"images": (found.folder / photo).read_bytes()}
            client.post("/api/v1/people", data={"name": name}, files=file).raise_for_status()
            if photo != other:
                unlike = {"images": (found.folder / other).read_bytes()}
                client.post(f"/api/v1/people/{name}/negatives", files=unlike).raise_for_status()


def _hooks(found: Home, told: Path) -> dict[str, str]:
    files = [found.folder / name for name in (*PHOTOS, "elsewhere.zip")]
    numbers = [1, 2, 3, 4, 5]
    there = {
        "camera": [CAMERA, "yard"],
        **{key: [NAME, *OTHERS] for key in ("person", "name", "into", "new_name")},
        **{key: [found.event] for key in ("event_id", "visit")},
        **dict.fromkeys(("photo", "negative"), numbers),
        **{key: ["nano_embed", "nano_det", "arcface_w600k_mbf", "nobody"] for key in ("model", "model_name")},
        "photos": [[number] for number in numbers],
        "cluster": _clusters(found),
    }
    return {
        "SCHEMATHESIS_HOOKS": "tests.contract.fuzz_hooks",
        "PYTHONPATH": os.pathsep.join((str(PROJECT), os.environ.get("PYTHONPATH", ""))),
        "FUZZ_PICTURES": json.dumps([str(file) for file in files]),
        "FUZZ_THERE": json.dumps(there),
        "FUZZ_SPARE": json.dumps({CAMERA: "yard", NAME: OTHERS[0]}),
        "FUZZ_SENT": str(told),
    }


def _clusters(found: Home) -> list[str]:
    """Of the strangers whom the camera has seen by now."""
    with found.client() as client:
        return [one["id"] for one in client.get("/api/v1/review").json()["clusters"]] or ["c" + "0" * 24]


def main() -> int:
    parser = argparse.ArgumentParser(description="fuzz a service of one's own by its OpenAPI document")
    parser.add_argument("--seconds", type=int, default=None)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, home(Path(folder)) as found:
        result = fuzzed(found, cases=asked.cases, seed=asked.seed, seconds=asked.seconds)
    sys.stdout.write(f"seed {asked.seed}\n{result.text()}\n")
    return 0 if result.passed and not result.faults else 1


if __name__ == "__main__":
    sys.exit(main())
