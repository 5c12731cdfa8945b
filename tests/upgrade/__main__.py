"""Makes the data folders of tests/upgrade/data anew, each by the code of its time: python -m tests.upgrade [NAME...].

Needs the repository with its history; runs for minutes. Keys, ids and times are others each time.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import yaml

from tests.conftest import PROJECT
from tests.upgrade.folders import DATA, MADE, pack

FACES = PROJECT / "model" / "faces"
ADA, GRACE, CHARLES, MARY = "Ada Lovelace", "Grace Hopper", "Charles Babbage", "Mary Somerville"
PHOTOS = {ADA: "eileen_collins.jpg", GRACE: "stranger_1.jpg", CHARLES: "stranger_2.jpg", MARY: "stranger_3.jpg"}
PORT = 18098


@dataclass(frozen=True)
class Home:
    """A folder with a configuration, and the code of before that runs there."""

    folder: Path
    code: Path

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "streamer", *arguments],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=180,
        )
        if done.returncode:
            raise SystemExit(f"{arguments}: {done.stderr}")
        return done.stdout

    def document(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.code)}

    def serve_and_kill(self) -> None:
        """No broker is there, so that events wait; two cameras see Ada, and one of them still does at the kill."""
        with (self.folder / "serve.log").open("wb") as log:
            service = subprocess.Popen(
                [sys.executable, "-m", "streamer", "serve"], cwd=self.folder, env=self._environment, stderr=log
            )
        try:
            _until(lambda: _outbox_depth() >= 3)
            time.sleep(2.0)  # what is written behind the events: last sightings, visits that are kept
        finally:
            service.send_signal(signal.SIGKILL)
            service.wait()


def _until(condition: Callable[[], bool], within_s: float = 90.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("it did not come about")
        time.sleep(0.2)


def _outbox_depth() -> float:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=2) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.split()[-1]) for line in lines if line.startswith("whosthere_outbox_depth "))


def clip(path: Path, seconds: float) -> None:
    """Somebody at a standstill, at five frames a second, then an empty room."""
    face = cv2.resize(cv2.imread(str(FACES / PHOTOS[ADA])), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    empty = np.full_like(face, 90)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.height, stream.width = face.shape[0] // 2 * 2, face.shape[1] // 2 * 2
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for number in range(round(seconds * 5)):
            picture = face if number < seconds * 5 - 5 else empty
            frame = av.VideoFrame.from_ndarray(picture[: stream.height, : stream.width].copy(), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _configuration(extra: dict[str, Any]) -> dict[str, Any]:
    cameras: dict[str, dict[str, Any]] = {
        "door": {"url": "door.mp4", "fps": 5, "loop": False},
        "hall": {"url": "hall.mp4", "fps": 5, "loop": True},
    }
    for camera in cameras.values():
        camera.update(extra.get("camera", {}))
    sections = {key: value for key, value in extra.items() if key != "camera"}
    return {"mqtt": {"port": 1}, "http": {"port": PORT}, "cameras": cameras} | sections


def first(home: Home) -> None:
    """What version 1 and 2 could do: three people, one of whom was let go."""
    for name in (ADA, GRACE, CHARLES):
        home("enrol", name, str(FACES / PHOTOS[name]))
    home("people", "forget", CHARLES, "--yes") if "--yes" in home("people", "forget", "--help") else home(
        "people", "forget", CHARLES
    )


def with_switches(home: Home) -> None:
    """Besides, tokens, cameras by command, and a model that was chosen by hand."""
    first(home)
    home("tokens", "make", "dashboard", "--role", "viewer")
    home("cameras", "add", "garden", "rtsp://192.0.2.9/h264", "fps=2")
    home("cameras", "disable", "garden")
    home("models", "use", "nano_embed")


def with_profiles(home: Home) -> None:
    """Besides, what a profile holds, a backup of everything and an export of one person."""
    with_switches(home)
    home("people", "set", ADA, "--external-id", "4711", "--tag", "staff")
    home("gallery", "backup", "backup.db")
    home("people", "export", ADA, "ada.zip")


def with_negatives(home: Home) -> None:
    """Besides, faces that are not somebody, two who became one, and thresholds of this gallery."""
    with_profiles(home)
    home("enrol", MARY, str(FACES / PHOTOS[MARY]))
    home("people", "not", GRACE, str(FACES / "stranger_4.jpg"))
    home("people", "merge", MARY, GRACE, "--yes")
    home("calibrate", "--fpir", "0.01")


SNAPSHOTS = {"camera": {"snapshots": True}}
PLAIN = {"gallery": {"encryption": False}}


@dataclass(frozen=True)
class Era:
    """A commit, and what its version had to keep."""

    commit: str
    does: Callable[[Home], None]
    config: dict[str, Any]


ERAS = {
    "gallery-1": Era("b4898a8b", first, {}),
    "gallery-2-first": Era("a2a61785", first, {}),
    "gallery-2": Era("9f7eadc7", with_switches, {}),
    "gallery-3-first": Era("45eaba68", with_profiles, SNAPSHOTS),
    "gallery-3": Era("56935675", with_profiles, SNAPSHOTS),
    "gallery-3-plain": Era("56935675", with_profiles, SNAPSHOTS | PLAIN),
    "gallery-4": Era("39f4b8a1", with_negatives, SNAPSHOTS),
    "gallery-4-plain": Era("39f4b8a1", with_negatives, SNAPSHOTS | PLAIN),
}


def make(name: str, scratch: Path) -> None:
    era = ERAS[name]
    code, folder = scratch / "code", scratch / name
    subprocess.run(["git", "worktree", "add", "-q", "--detach", code, era.commit], cwd=PROJECT, check=True)
    try:
        folder.mkdir()
        (folder / "whosthere.yaml").write_text(yaml.safe_dump(_configuration(era.config)))
        clip(folder / "door.mp4", 3)
        clip(folder / "hall.mp4", 20)
        home = Home(folder, code)
        era.does(home)
        home.serve_and_kill()
        for other in ("door.mp4", "hall.mp4", "serve.log"):
            (folder / other).unlink()
        told = facts(folder, scratch / "looked-at") | {"commit": era.commit}
        (DATA / f"{name}.json").write_text(json.dumps(told, indent=2) + "\n")
        pack(folder, DATA / f"{name}.tar.xz")
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", code], cwd=PROJECT, check=True)


def facts(folder: Path, scratch: Path) -> dict[str, Any]:
    """What lies in the files, read by nothing of whosthere; of a copy, since reading a log moves it into its file."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(folder, scratch)
    found: dict[str, Any] = {"files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())}
    for file, tables in MADE.items():
        if not (scratch / "var" / file).exists():
            continue
        with closing(sqlite3.connect(scratch / "var" / file)) as db:
            found[file] = {
                "version": db.execute("PRAGMA user_version").fetchone()[0],
                "rows": {
                    table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                    for table in tables
                    if db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
                },
            }
            if file == "outbox.db":
                found[file]["waiting"] = db.execute("SELECT event_id, type FROM pending ORDER BY row").fetchall()
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for chosen in sys.argv[1:] or ERAS:
            make(chosen, Path(place))
            print(chosen, (DATA / f"{chosen}.tar.xz").stat().st_size, "bytes")  # noqa: T201
