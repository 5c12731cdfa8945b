"""A publisher of a benchmark that can't start, or ends by itself, ends the benchmark; and nothing is left running."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import av
import psutil
import pytest

from streamer.bench.ingest import Load, _published
from streamer.bench.ingest_process import _decoded
from streamer.bench.parts import Parts
from streamer.bench.publishers import failing_plainly, publisher
from streamer.bench.soak import run_soak
from streamer.errors import BenchFailed
from streamer.settings import Settings

LOAD = Load(2, 320, 240, 100_000)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(50):
            container.mux(stream.encode(av.VideoFrame(320, 240, "yuv420p")))
        container.mux(stream.encode(None))
    return path


ENDS_WITH = {
    "exit 0": "ended by itself with 0;",
    "echo of no use >&2; echo Connection refused >&2; exit 3": "with 3 and said: Connection refused;",
    "echo '[rtsp] rtsp://bench:bench@127.0.0.1: lost' >&2; exit 1": r"with 1 and said: \[rtsp\] rtsp://\*{3}@127",
    "head -c 300000 /dev/zero >&2; printf '\\nlast\\377\\n\\n' >&2; exit 4": "with 4 and said: last\ufffd;",
}


@pytest.fixture(params=["missing", *ENDS_WITH])
def bad_ffmpeg(request, tmp_path, monkeypatch) -> str:
    """Not there, or one that ends at once; what the error says of it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin" if request.param in ENDS_WITH else str(folder))
    if request.param == "missing":
        return "ffmpeg is not there"
    (folder / "ffmpeg").write_text(f"#!/bin/sh\n{request.param}\n")
    (folder / "ffmpeg").chmod(0o755)
    return ENDS_WITH[request.param]


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]


async def test_the_ingest_benchmark_ends_with_its_publisher(clip, bad_ffmpeg):
    before = children()
    async with asyncio.timeout(60):
        with pytest.raises(BenchFailed, match=bad_ffmpeg):
            await _published(LOAD, 60.0, clip)
    assert children() == before


async def test_the_soak_ends_with_its_publisher(clip, bad_ffmpeg, tmp_path):
    before, said = children(), list[str]()
    async with asyncio.timeout(60):
        parts = Parts(said.append)
        samples = await run_soak(Settings(), clip, 3600.0, tmp_path / "data", parts)
    assert len(samples) == 1, "what was seen until then stands"
    (failed,) = parts.failed
    assert re.search(bad_ffmpeg, failed["why"])
    assert len(said) == 2
    assert children() == before


@pytest.mark.parametrize("cameras", [1, 2, 8])
async def test_what_publishers_send_is_measured(clip, cameras):
    """All are taken from until the result is here: a publisher whose camera closed would end the benchmark."""
    before = children()
    async with asyncio.timeout(60):
        measured = await _published(replace(LOAD, cameras=cameras), 0.5, clip)
    assert measured.pictures > 0
    assert children() == before


async def test_what_fails_beside_a_publisher_is_told_as_it_is(clip):
    with pytest.raises(BenchFailed, match="the other"):
        async with publisher(clip, 1, "nobody"):
            raise BenchFailed("the other")
    with pytest.raises(ExceptionGroup), failing_plainly():
        raise ExceptionGroup("none of ours", [ValueError(), OSError()])


@pytest.mark.parametrize("content", [None, b"", b"no clip", bytes(range(256)) * 20])
def test_a_clip_that_gives_no_picture_is_waited_for_no_longer(tmp_path, content):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BenchFailed, match="gave no picture"):
        _decoded(2, 1.0, str(path))


def test_pictures_that_take_too_long_end_it(clip):
    with pytest.raises(BenchFailed, match="within 0 s"):
        _decoded(2, 1.0, str(clip), within_s=0.0)
    assert _decoded(2, 0.2, str(clip)).pictures > 0
