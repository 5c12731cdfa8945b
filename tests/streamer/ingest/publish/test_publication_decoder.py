"""Packets to pictures, to the pixel: with losses, reordering, bursts, damage; what the camera says of it."""

from dataclasses import replace
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest

from streamer.errors import StreamInvalid, StreamLost
from streamer.ingest.packet_reader import Instant
from streamer.ingest.picture_decoder import KEYFRAME_WITHIN_S
from streamer.ingest.publish.publication import DecodedPicture, EncodedPicture, PublishedStream
from streamer.ingest.publish.publication_decoder import LONGEST_LATE_S
from streamer.ingest.rtp.description import START_CODE
from streamer.ingest.rtp.receiver import TrackReceiver
from streamer.settings import CameraSettings
from tests.streamer.ingest.publish.published import Shown, show
from tests.streamer.ingest.rtp.packetiser import FPS, TICKS, Clip, lossy, make_clip, packetise

FRAMES = 100
OPEN_H264 = "open-gop=1:keyint=20:min-keyint=20:scenecut=0:bframes=3:b-pyramid=normal:b-adapt=0"
X265 = "log-level=none:keyint=20:min-keyint=20:scenecut=0"
CLIPS = {
    "h264": ("h264", {"bf": "0", "g": "20"}),
    "h264 with b": ("h264", {"bf": "2", "g": "20"}),
    "h264 in slices": ("h264", {"bf": "0", "g": "20", "slices": "4"}),
    "h264 open": ("h264", {"x264-params": OPEN_H264}),
    "h264 intra refresh": ("h264", {"bf": "0", "g": "20", "intra-refresh": "1"}),
    "h265": ("hevc", {"x265-params": X265 + ":bframes=0:open-gop=0"}),
    "h265 open with b": ("hevc", {"x265-params": X265 + ":bframes=2:open-gop=1"}),
}
EACH = pytest.mark.parametrize("kind", CLIPS)
MENDS = pytest.mark.parametrize("kind", [kind for kind in CLIPS if kind != "h264 intra refresh"])


@cache
def clip_of(kind: str) -> Clip:
    codec, options = CLIPS[kind]
    return make_clip(codec, FRAMES, (160, 96), **options)


def received(clip: Clip, packets, *, reorders: bool = False, sets: tuple[bytes, ...] = ()) -> list[EncodedPicture]:
    pictures: list[EncodedPicture] = []
    receiver = TrackReceiver(clip.track(sets), pictures.append, reorders=reorders)
    for packet, at in packets:
        receiver.tick(at.monotonic_s)
        receiver.rtp(packet, at)
    receiver.close()
    return pictures


def shown(clip: Clip, pictures: list[EncodedPicture], sets: tuple[bytes, ...] = ()) -> Shown:
    return show(PublishedStream(clip.codec, "rtsp udp", clip.track(sets).extradata), pictures)


def indices(clip: Clip, of: Shown) -> list[int | None]:
    return [clip.index_of(luma) for luma in of.lumas()]


@EACH
@pytest.mark.parametrize("aggregates", [True, False])
def test_every_picture_comes_out_to_the_pixel(kind, aggregates):
    clip = clip_of(kind)
    got = shown(clip, received(clip, packetise(clip, aggregates=aggregates)))
    assert indices(clip, got) == list(range(FRAMES))
    assert not got.counts
    assert isinstance(got.end, StreamLost)
    assert set(got.reasons) == {None}


@EACH
def test_parameter_sets_of_the_sdp_are_enough(kind):
    clip = clip_of(kind)
    got = shown(clip, received(clip, packetise(clip.out_of_band()), sets=clip.sets), clip.sets)
    assert indices(clip, got) == list(range(FRAMES))


@EACH
def test_parameter_sets_that_are_garbage_in_the_sdp_give_way_to_those_in_band(kind):
    clip = clip_of(kind)
    junk = tuple(unit[:2] + b"\xff" * 6 for unit in clip.sets)
    got = shown(clip, received(clip, packetise(clip), sets=junk), junk)
    assert indices(clip, got) == list(range(FRAMES))


@EACH
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_only_came_in_another_order_is_whole(kind, seed):
    clip = clip_of(kind)
    packets = lossy(packetise(clip, mtu=60), swaps=0.05, seed=seed)
    # The last packet of a picture may be overtaken by the first of the next, 40 ms later.
    got = shown(clip, received(clip, ((p, Instant(at.unix_s, at.monotonic_s / 8)) for p, at in packets), reorders=True))
    assert set(range(FRAMES - 1)) <= set(indices(clip, got))


@EACH
@pytest.mark.parametrize(("loss", "swaps"), [(0.005, 0.0), (0.02, 0.02), (0.05, 0.0)])
@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_is_lost_no_wrong_picture_comes_out(kind, loss, swaps, seed):
    clip = clip_of(kind)
    packets = lossy(packetise(clip, mtu=250), loss=loss, swaps=swaps, seed=seed)
    pictures = received(clip, packets, reorders=True)
    got = shown(clip, pictures)
    came = indices(clip, got)
    assert None not in came
    assert came == sorted(set(came))
    gone = sum(got.counts.values())
    assert gone > 0
    # But for those that a codec left out itself, since what they lean on was before the keyframe it began with.
    assert len(came) + gone <= len(pictures) <= len(came) + gone + 3 * FRAMES // 20


@MENDS
@pytest.mark.parametrize("picture", [5, 25, 31])
def test_after_one_gap_it_is_back_at_the_next_keyframe(kind, picture):
    clip = clip_of(kind)
    packets = [(packet, at) for packet, at in packetise(clip, mtu=100) if round(at.monotonic_s * FPS) != picture]
    pictures = received(clip, packets)
    got = shown(clip, pictures)
    came = indices(clip, got)
    assert None not in came
    first_pts = min(one.pts for one in pictures)
    keyframes = [(one.pts - first_pts) // TICKS for one in pictures[picture:] if one.is_keyframe]
    back = next(number for number in keyframes if number > picture)
    assert set(range(back, FRAMES)) <= set(came)
    missing = set(range(FRAMES)) - set(came)
    assert missing
    assert picture - 4 <= min(missing)
    assert max(missing) < back


def test_a_stream_of_which_most_is_held_back_says_so_and_takes_it_back():
    clip = clip_of("h264")
    pictures = received(clip, packetise(clip))
    lost = [one for one in pictures if not 1 <= (one.pts - pictures[0].pts) // TICKS < 20]
    damaged = [
        EncodedPicture(one.data, one.pts, False, one.at, is_damaged=number % 3 == 0)
        for number, one in enumerate(pictures)
    ]

    def after(seconds: float, these: list[EncodedPicture]) -> list[EncodedPicture]:
        return [
            replace(
                one,
                pts=one.pts + round(seconds * 90_000),
                at=Instant(one.at.unix_s + seconds, one.at.monotonic_s + seconds),
            )
            for one in these
        ]

    parts = [pictures, damaged, damaged, lost, pictures, pictures]
    got = shown(clip, [one for number, part in enumerate(parts) for one in after(4 * number, part)])
    assert got.reasons[0] is None
    assert got.reasons[3 * FRAMES - 5] == "pictures_damaged"
    assert got.reasons[-1] is None
    assert None not in indices(clip, got)
    assert got.counts["held_back"] > got.counts[StreamInvalid.code] > 0


@pytest.mark.parametrize("kind", ["h264", "h264 with b", "h264 open", "h265 open with b"])
def test_joined_between_keyframes_it_waits_and_nothing_is_called_damaged(kind):
    clip = clip_of(kind)
    pictures = received(clip, packetise(clip))
    first_pts = min(one.pts for one in pictures)
    begins = next((one.pts - first_pts) // TICKS for one in pictures[1:] if one.is_keyframe)
    got = shown(clip, pictures[7:])
    assert indices(clip, got) == list(range(begins, FRAMES))
    assert not got.counts


def test_where_every_keyframe_is_cut_to_pieces_the_network_is_blamed_and_not_the_encoder():
    clip = clip_of("h264")
    packets = [one for one in packetise(clip, mtu=100) if round(one[1].monotonic_s * FPS) % 20 or one[0][1] & 128]
    seconds, tape = FRAMES // FPS, []
    for turn in range(round(KEYFRAME_WITHIN_S / seconds) + 3):
        for one in received(clip, packets):
            at = Instant(one.at.unix_s, one.at.monotonic_s + turn * seconds)
            tape.append(replace(one, pts=one.pts + turn * seconds * 90_000, at=at))
    got = shown(clip, tape)
    assert got.frames == []
    assert not any(one.is_keyframe and not one.is_damaged for one in tape)
    assert got.reasons[-1] == "pictures_damaged"
    assert isinstance(got.end, StreamLost), "of the tape"


def test_a_stream_without_keyframes_ends_with_what_to_do():
    clip = clip_of("h264")
    pictures = received(clip, packetise(clip))[1:20]
    seconds = int(KEYFRAME_WITHIN_S) + 3
    tape = [
        EncodedPicture(one.data, one.pts, False, Instant(1e9 + n, float(n)))
        for n, one in enumerate((pictures * 3)[:seconds])
    ]
    got = shown(clip, tape)
    assert got.frames == []
    assert isinstance(got.end, StreamInvalid)
    assert "keyframe interval" in str(got.end)


@pytest.mark.parametrize("where", [4, 26, 50])
def test_what_the_codec_finds_damaged_is_held_back_as_well(where):
    """Wrong bytes in packets that all came: the checksum of UDP is of 16 bits."""
    clip = clip_of("h264")
    pictures = received(clip, packetise(clip))
    hurt = pictures[where]
    data = bytearray(hurt.data)
    data[len(data) // 2 :] = b"\xff" * (len(data) - len(data) // 2)
    pictures[where] = EncodedPicture(bytes(data), hurt.pts, hurt.is_keyframe, hurt.at)
    came = indices(clip, shown(clip, pictures))
    back = where - where % 20 + 20
    assert came == [*range(where), *range(back, FRAMES)]


def test_noise_in_place_of_pictures_ends_in_one_line():
    pictures = [
        EncodedPicture(START_CODE + bytes([0x65, 0x88, n, 255, n]) * 9, n * TICKS, True, Instant(1e9, n / FPS))
        for n in range(200)
    ]
    got = show(PublishedStream("h264", "rtsp tcp"), pictures)
    assert got.frames == []
    assert isinstance(got.end, StreamInvalid)
    assert got.counts[StreamInvalid.code] > 50


@pytest.mark.parametrize("kind", ["h264", "h264 with b", "h265 open with b"])
def test_after_a_stop_the_old_pictures_give_way_by_time(kind):
    """The publisher was stopped for 3 s; all of that comes at once, and so does what is after it."""
    clip = clip_of(kind)
    stop, length = 10, 75
    tape = []
    for number, one in enumerate(received(clip, packetise(clip))):
        came_s = (stop + length) / FPS if stop <= number < stop + length else number / FPS
        tape.append(EncodedPicture(one.data, one.pts, one.is_keyframe, Instant(1e9 + came_s, came_s)))
    got = shown(clip, tape)
    assert got.counts["dropped"] == pytest.approx(length - LONGEST_LATE_S * FPS, abs=3)
    assert indices(clip, got)[-1] == FRAMES - 1
    late = [frame.number for frame in got.frames if (frame.late_s or 0.0) > LONGEST_LATE_S + 0.2]
    assert len(late) <= 2  # that had come before, and that the codec held
    captured = [frame.captured_s for frame in got.frames]
    assert captured == sorted(captured)


@pytest.mark.parametrize(
    "pts_of",
    [
        lambda number: round(number * TICKS * 1.02),
        lambda number: round(number * TICKS * 0.98),
        lambda number: number * TICKS + (90_000 * 3600 if number >= 50 else 0),
        lambda number: number * TICKS - (90_000 * 3600 if number >= 50 else 0),
        lambda number: number * TICKS - (90_000 if number >= 50 else 0),
        lambda number: 5,
        lambda number: (number * 7919) % 90_000,
    ],
    ids=["drifts on", "drifts back", "an hour on", "an hour back", "a second back", "stands still", "jumps about"],
)
def test_whatever_the_publishers_clock_does_pictures_flow(pts_of):
    clip = clip_of("h264")
    tape = [
        EncodedPicture(one.data, pts_of(number), one.is_keyframe, one.at)
        for number, one in enumerate(received(clip, packetise(clip)))
    ]
    got = shown(clip, tape)
    assert indices(clip, got) == list(range(FRAMES))
    assert all(abs(frame.captured_s - number / FPS) < LONGEST_LATE_S + 0.01 for number, frame in enumerate(got.frames))


@pytest.mark.parametrize("form", ["yuv420p", "yuvj420p", "nv12"])
def test_decoded_frames_are_taken_whatever_their_size_form_and_timestamps(form):
    tape = []
    for number in range(50):
        size = (64, 48) if number % 2 else (96, 64)
        planes = np.full((size[1] * 3 // 2, size[0]), 20 + number, np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p").reformat(format=form)
        frame.pts = [None, 0, 2**40, -5][number % 4]
        frame.time_base = Fraction(1, 90_000)
        tape.append(DecodedPicture(frame, Instant(1e9 + number / FPS, number / FPS)))
    got = show(PublishedStream("vp8", "webrtc"), tape)
    assert [(frame.width, frame.height) for frame in got.frames] == [(64, 48) if n % 2 else (96, 64) for n in range(50)]
    assert [frame.captured_s for frame in got.frames] == [number / FPS for number in range(50)]
    assert not got.counts


@pytest.mark.parametrize(
    ("settings", "size"), [({}, (213, 96)), ({"aspect": "2:1"}, (192, 96)), ({"rotate": 90}, (96, 213))]
)
def test_pictures_have_the_shape_that_the_stream_or_the_configuration_says(settings, size):
    clip = make_clip("h264", 5, (160, 96), **{"x264-params": "sar=4/3"})
    camera = CameraSettings.model_validate({"url": "publish://", "password": "secret", "fps": 120, **settings})
    got = show(PublishedStream("h264", "rtsp tcp"), received(clip, packetise(clip)), camera)
    assert {(frame.width, frame.height) for frame in got.frames} == {size}


def test_masks_are_in_whatever_publishers_send():
    """Encoded (RTSP) and decoded (a browser's WHIP), of two sizes in turn."""
    masks = [[[0.5, 0], [1, 0], [1, 1], [0.5, 1]]]
    camera = CameraSettings.model_validate({"url": "publish://", "password": "secret", "fps": 120, "masks": masks})
    clip = clip_of("h264 with b")
    encoded = show(PublishedStream("h264", "rtsp tcp"), received(clip, packetise(clip)), camera)
    grey = [np.full((size[1] * 3 // 2, size[0]), 200, np.uint8) for size in ((64, 48), (96, 64)) * 5]
    frames = [av.VideoFrame.from_ndarray(planes, format="yuv420p") for planes in grey]
    tape = [DecodedPicture(frame, Instant(1e9 + n / FPS, n / FPS)) for n, frame in enumerate(frames)]
    decoded = show(PublishedStream("vp8", "webrtc"), tape, camera)
    assert (len(encoded.frames), len(decoded.frames)) == (FRAMES, 10)
    for frame in (*encoded.frames, *decoded.frames):
        assert frame.image.luma()[:, frame.width // 2 :].max() == 16
        assert frame.image.bgr()[:, frame.width // 2 :].max() == 0
    assert all(frame.image.luma()[:, : frame.width // 2 - 2].min() == 200 for frame in decoded.frames)
    plain = shown(clip, received(clip, packetise(clip)))
    for masked, whole in zip(encoded.lumas(), plain.lumas(), strict=True):
        np.testing.assert_array_equal(masked[:, :76], whole[:, :76])


def test_a_frame_is_captured_when_its_last_packet_came():
    clip = clip_of("h264 with b")
    pictures = received(clip, packetise(clip))
    came = {(one.pts - pictures[0].pts) // TICKS: one.at for one in pictures}
    got = shown(clip, pictures)
    for frame, number in zip(got.frames, indices(clip, got), strict=True):
        latest = max(came[n].monotonic_s for n in range((number or 0) + 1))
        assert frame.captured_s == pytest.approx(latest)
        assert frame.captured_at == pytest.approx(1e9 + latest)


def test_the_resolution_may_change_at_a_keyframe():
    small, large = clip_of("h264"), make_clip("h264", 20, (320, 192), bf="0")
    first = received(small, packetise(small))
    second = [
        EncodedPicture(one.data, one.pts + 9 * 90_000, one.is_keyframe, Instant(1e9 + 9, 9 + one.at.monotonic_s))
        for one in received(large, packetise(large))
    ]
    got = shown(small, first + second)
    assert [frame.width for frame in got.frames] == [160] * FRAMES + [320] * 20
    assert not got.counts


@pytest.mark.parametrize("asked", ["auto", "vaapi"])
def test_hardware_that_is_not_there_costs_no_picture(asked):
    clip = clip_of("h264")
    camera = CameraSettings(url="publish://", password="secret", fps=120, hwaccel=asked)
    stream = PublishedStream(clip.codec, "rtsp udp", clip.track(()).extradata)
    got = show(stream, received(clip, packetise(clip)), camera)
    assert indices(clip, got) == list(range(FRAMES))
    assert not got.counts
