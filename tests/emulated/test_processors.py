"""The whole Python as another processor (Debian's qemu-user): it answers as this one does, whatever this one is.

Nehalem has no AVX (Celerons, virtual machines with a generic processor), Haswell has AVX2 and no VNNI. QEMU's emulation
has no AVX-512; that rests on the proof from the graphs (tests/recognition/runtimes/test_nano_everywhere.py).
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from recognition.checks.portraits import read_portraits
from streamer.demo.scene import write_stills
from tests.conftest import PROJECT
from tests.emulated.answers import answers

PROCESSORS = ["Nehalem", "Haswell"]
pytestmark = [pytest.mark.emulated, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def qemu() -> str:
    if platform.machine() != "x86_64":
        pytest.skip("emulates x86 processors on x86")
    found = shutil.which("qemu-x86_64")
    if found is None:
        pytest.skip("needs qemu-x86_64; on Debian: apt-get install qemu-user")
    return found


def run_as(processor: str, qemu: str, *arguments: str) -> str:
    """What this Python prints as that processor; QEMU's own warnings go to stderr.

    A choice of OpenBLAS's kernels that was made for this processor isn't for the other.
    """
    command = [qemu, "-cpu", processor, sys.executable, *arguments]
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    env["PYTHONPATH"] = str(PROJECT)
    ended = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


@cache
def answers_as(processor: str, qemu: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_as(processor, qemu, "-m", "tests.emulated.answers", "sums"))
    return found


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    return answers()


def assert_alike(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """The same faces within a pixel and .02, the same embedding, in the form of the file."""
    assert len(theirs["boxes"]) == len(ours["boxes"]) == 1
    assert np.abs(np.subtract(theirs["boxes"], ours["boxes"])).max() <= 1
    assert np.abs(np.subtract(theirs["landmarks"], ours["landmarks"])).max() <= 1
    assert np.abs(np.subtract(theirs["scores"], ours["scores"])).max() <= 0.02
    assert float(np.dot(theirs["embedding"], ours["embedding"])) > 0.999
    assert theirs["forms"] == {"nano_det": [], "nano_embed": []}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_it_passes_the_self_test_and_answers_as_here(processor, qemu, ours):
    assert_alike(answers_as(processor, qemu), ours)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_what_its_sums_do_is_found_out(processor, qemu):
    found = answers_as(processor, qemu)
    is_old = processor == "Nehalem"
    assert (found["exact_int8"], "AVX2" in found["sets"]) == (is_old, not is_old)
    assert "SSE4.2" in found["sets"]


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_crude_int8_network_is_exact_there(processor, qemu):
    """Weights of 8 bits, which would saturate on a Haswell."""
    assert answers_as(processor, qemu)["steps_away"] <= 1


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small clip of the known portrait and a stranger, and a folder of her photos, both made by this processor."""
    folder = tmp_path_factory.mktemp("scene")
    (folder / "people" / "Eileen Collins").mkdir(parents=True)
    write_stills(folder / "people" / "Eileen Collins")
    known, stranger = (cv2.resize(portrait.image().bgr(), (240, 240)) for portrait in read_portraits()[:2])
    with av.open(str(folder / "clip.mp4"), "w") as clip:
        stream = clip.add_stream("h264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 640, 320, "yuv420p"
        for number in range(25):
            picture = np.full((320, 640, 3), 96, np.uint8)
            picture[40:280, 40 + number : 280 + number] = known
            picture[40:280, 360:600] = stranger
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        clip.mux(stream.encode())
    return folder / "clip.mp4", folder / "people"


@pytest.mark.thorough
@pytest.mark.parametrize("processor", ["Nehalem", "Haswell"])
def test_the_demo_names_its_first_person(processor, qemu, scene):
    """On a clip that is there already: encoding the demo's own would take an emulated processor minutes."""
    clip, people = scene
    options = ("--source", str(clip), "--enrol", str(people), "--seconds", "20", "--json")
    ended = json.loads(run_as(processor, qemu, "-m", "streamer", "demo", *options))
    assert [person["name"] for person in ended["people"]] == ["Eileen Collins"]
    assert ended["events"]["new"] >= 2, "and the stranger, who stays unknown"
    assert ended["unknown_events"] >= 1
