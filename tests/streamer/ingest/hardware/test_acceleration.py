"""Hardware that is not there: what `auto` says of it (nothing), what the others say, and that every picture comes."""

import logging

import numpy as np
import pytest
from av.codec.hwaccel import hwdevices_available

from streamer.ingest.frame import VideoImage
from streamer.ingest.hardware import acceleration as module
from streamer.ingest.hardware.acceleration import DISTRUST_S, Acceleration
from streamer.ingest.probe import probe
from streamer.settings import CameraSettings
from tests.streamer.ingest.clips import play, write_clip
from tests.streamer.ingest.test_frame import coloured


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    for known in ("_failed_at_s", "_told"):
        monkeypatch.setattr(module, known, {})


def no_device(kind: str) -> bool:
    return bool(module._against(kind))


def test_auto_asks_for_nothing_where_no_device_file_is(tmp_path, caplog):
    heard: list[str] = []
    chosen = Acceleration("door", "auto", heard.append, devices=tmp_path)
    assert (chosen.kind, chosen.accelerator()) == (None, None)
    chosen.pictured(coloured())
    chosen.pictured(coloured())
    assert (heard, chosen.note, caplog.text) == (["software"], "", "")


@pytest.mark.skipif(not no_device("cuda"), reason="there is a CUDA device")
def test_auto_passes_over_a_device_that_can_not_be_opened(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "nvidiactl").touch()
    chosen = Acceleration("door", "auto", lambda _: None, devices=tmp_path)
    chosen.pictured(coloured())
    assert chosen.kind is None
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "decoded in software, not by auto" in caplog.text


@pytest.mark.parametrize("kind", ["cuda", "vaapi"])
async def test_what_is_not_there_is_told_once_and_decoded_in_software(tmp_path, caplog, kind):
    if not no_device(kind):
        pytest.skip(f"there is a {kind} device")
    clip = write_clip(tmp_path / "clip.mp4", 10)
    plain = await play(clip)
    for _ in range(2):
        played = await play(clip, hwaccel=kind)
        assert len(played.frames) == len(plain.frames)
        for one, other in zip(played.frames, plain.frames, strict=True):
            np.testing.assert_array_equal(one.image.bgr(), other.image.bgr())
    assert [record.levelname for record in caplog.records if "hwaccel" in record.getMessage()] == ["WARNING"]
    report = (await probe(str(clip), CameraSettings(url=str(clip), hwaccel=kind))).report
    (note,) = report.notes
    assert note.startswith(f"decoded in software, not by {kind} as hwaccel says: ")


@pytest.mark.skipif("vaapi" in hwdevices_available(), reason="this PyAV has VA-API")
def test_a_kind_that_is_not_built_in_is_told_with_those_that_are():
    chosen = Acceleration("door", "vaapi", lambda _: None)
    assert chosen.kind is None
    assert "was built without it" in chosen.why
    assert all(kind in chosen.why for kind in hwdevices_available())


def test_by_a_pictures_format_it_is_known_what_decoded_it(caplog, monkeypatch):
    monkeypatch.setattr(module, "_against", lambda kind: "")
    heard: list[str] = []
    chosen = Acceleration("door", "cuda", heard.append)
    chosen.pictured(coloured("nv12"))
    assert chosen.note == "decoded by cuda"
    chosen.pictured(coloured("p010le"))
    chosen.pictured(coloured("yuv420p"))  # the stream changed to a profile that the device does not know
    assert heard == ["cuda", "software"]
    assert "cuda can't decode this stream's profile (yuv420p)" in caplog.text


def test_a_device_that_failed_on_a_stream_is_left_alone_for_a_while(monkeypatch):
    monkeypatch.setattr(module, "_against", lambda kind: "")
    now_s = 100.0

    def opened(camera: str) -> Acceleration:
        return Acceleration(camera, "cuda", lambda _: None, clock=lambda: now_s)

    first = opened("door")
    assert first.kind == "cuda"
    first.failed()
    assert opened("door").kind is None
    assert opened("hall").kind == "cuda"
    now_s += DISTRUST_S
    assert opened("door").kind == "cuda"


def test_a_stream_that_software_can_not_decode_either_leaves_no_mark(monkeypatch):
    monkeypatch.setattr(module, "_against", lambda kind: "")
    chosen = Acceleration("door", "cuda", lambda _: None)
    chosen.pictured(coloured())
    chosen.failed()
    assert Acceleration("door", "cuda", lambda _: None).kind == "cuda"


@pytest.mark.parametrize("size", [(64, 48), (322, 182)])
def test_nv12_looks_as_the_same_picture_in_three_planes(size):
    flat = coloured("yuv420p", *size)
    both = flat.reformat(format="nv12")
    one, other = VideoImage(flat), VideoImage(both)
    for wide, high in ((32, 24), (48, 36)):
        np.testing.assert_array_equal(one.scaled_rgb_planes(wide, high), other.scaled_rgb_planes(wide, high))
        np.testing.assert_array_equal(one.scaled_i420(wide, high), other.scaled_i420(wide, high))
    np.testing.assert_array_equal(one.luma(), other.luma())
    np.testing.assert_array_equal(one.luma_sample(), other.luma_sample())
    np.testing.assert_array_equal(one.bgr(), other.bgr())


def test_ten_bits_look_as_eight():
    eight, ten = VideoImage(coloured("nv12")), VideoImage(coloured("p010le"))
    for view in (VideoImage.bgr, VideoImage.luma_sample):
        assert np.abs(view(eight).astype(int) - view(ten)).mean() < 3
    assert np.abs(eight.scaled_rgb_planes(160, 90).astype(int) - ten.scaled_rgb_planes(160, 90)).mean() < 3
