"""What a probe tells of a camera: how it is read and what is odd about it, in words."""

from streamer.ingest.probe import probe
from streamer.settings import CameraSettings
from tests.streamer.ingest.clips import write_clip
from tests.streamer.ingest.test_picture_joiner import MOVING
from tests.streamer.ingest.writers import by_ffmpeg


async def test_a_clip_that_is_fine(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 30)
    report = (await probe(str(clip), CameraSettings(url=str(clip), fps=10))).report
    assert report.reading == "a clip, by its own time; 10 frames a second of its 25"
    assert report.notes == (), "a clip may begin in black"


async def test_a_slow_clip_is_taken_whole(tmp_path):
    clip = by_ffmpeg(tmp_path / "clip.mp4", MOVING, 5, "-c:v", "libx264")
    probed = await probe(str(clip), CameraSettings(url=str(clip), fps=10))
    assert probed.report.reading == "a clip, by its own time; every frame of its 5"
    assert probed.report.notes == ()
    assert probed.frame.image.bgr().shape == (192, 320, 3)
