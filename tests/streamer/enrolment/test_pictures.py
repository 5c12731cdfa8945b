from contextlib import aclosing
from pathlib import Path

import pytest

from streamer.enrolment.pictures import pictures_of
from streamer.errors import CameraError, CameraNotFound
from streamer.settings import CameraSettings
from tests.faces import KNOWN, write_film


async def names_of(camera: CameraSettings, seconds: float) -> list[str]:
    async with aclosing(pictures_of("hall", camera, seconds)) as pictures:
        return [path.name async for path, image in pictures if image.width]


@pytest.mark.parametrize("loop", [False, True])
async def test_a_clip_is_read_as_fast_as_it_goes_a_few_pictures_a_second_and_once(tmp_path: Path, loop: bool) -> None:
    clip = write_film(tmp_path / "clip.mp4", ([KNOWN], 3))
    names = await names_of(CameraSettings(url=str(clip), loop=loop, fps=25), 60)
    assert names[0] == "hall at 0.0 s"
    assert 11 <= len(names) <= 13
    assert len(set(names)) == len(names)


async def test_no_more_of_it_than_was_asked_for(tmp_path: Path) -> None:
    clip = write_film(tmp_path / "clip.mp4", ([KNOWN], 5))
    names = await names_of(CameraSettings(url=str(clip)), 1)
    assert 4 <= len(names) <= 5
    assert float(names[-1].split()[-2]) <= 1.0


async def test_a_camera_that_pushes_can_t_be_had_and_what_can_is_said() -> None:
    with pytest.raises(CameraNotFound, match="--from-visit EVENT_ID"):
        await names_of(CameraSettings(url="publish://", password="a password"), 1)


@pytest.mark.parametrize("url", ["nothing.mp4", "rtsp://127.0.0.1:1/none", "gopher://x"])
async def test_a_camera_that_is_not_there_says_so(url: str) -> None:
    with pytest.raises(CameraError):
        await names_of(CameraSettings(url=url), 1)
