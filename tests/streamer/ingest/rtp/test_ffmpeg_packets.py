"""Packets as ffmpeg really sends them, caught on loopback: its SDP, its parameter sets, its fragments."""

import socket
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.publication import EncodedPicture, PublishedStream
from streamer.ingest.rtp.description import TrackDescription, video_track
from streamer.ingest.rtp.receiver import TrackReceiver
from streamer.ingest.rtp.reorder import PacketCounts
from tests.streamer.ingest.publish.published import show
from tests.streamer.ingest.rtp.packetiser import lossy, luma

FRAMES = 50
ENCODERS = {
    "h264": ("-c:v", "libx264", "-bf", "0"),
    "h264 with b": ("-c:v", "libx264", "-bf", "2"),
    "h264 zerolatency": ("-c:v", "libx264", "-tune", "zerolatency", "-x264-params", "slices=4"),
    "h265": ("-c:v", "libx265", "-x265-params", "log-level=none"),
}


def made(path: Path, encoder: tuple[str, ...]) -> Path:
    source = ["-f", "lavfi", "-i", f"testsrc2=s=320x240:r=25:d={FRAMES / 25}", "-f", "lavfi", "-i", "sine=d=2"]
    command = ["ffmpeg", "-v", "error", "-y", *source, *encoder, "-pix_fmt", "yuv420p", "-g", "20", "-c:a", "aac"]
    subprocess.run([*command, str(path)], check=True, timeout=60)
    return path


def caught(clip: Path, folder: Path, size: int = 1200) -> tuple[bytes, list[bytes]]:
    """(SDP, the RTP packets of the video) of `ffmpeg -c copy`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker:
        taker.bind(("127.0.0.1", 0))
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 2**20)
        taker.settimeout(0.2)
        sdp = folder / "session.sdp"
        url = f"rtp://127.0.0.1:{taker.getsockname()[1]}?pkt_size={size}"
        command = ["ffmpeg", "-v", "error", "-readrate", "8", "-i", str(clip), "-map", "0:v", "-c", "copy"]
        packets: list[bytes] = []
        sent = threading.Event()

        def take() -> None:
            while True:
                try:
                    packets.append(taker.recv(2048))
                except TimeoutError:
                    if sent.is_set():
                        return

        thread = threading.Thread(target=take)
        thread.start()
        try:
            subprocess.run([*command, "-f", "rtp", "-sdp_file", str(sdp), url], check=True, timeout=60)
        finally:
            sent.set()
            thread.join()
    return sdp.read_bytes(), packets


def lumas_of(clip: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(clip)) as container:
        return [luma(frame) for frame in container.decode(video=0)]


def received(track: TrackDescription, packets: Iterable[bytes]) -> tuple[PacketCounts, list[EncodedPicture]]:
    """As if one came each millisecond."""
    pictures: list[EncodedPicture] = []
    receiver = TrackReceiver(track, pictures.append, reorders=True)
    for number, packet in enumerate(packets):
        receiver.rtp(packet, Instant(1e9 + number / 1000, number / 1000))
    receiver.close()
    return receiver.counts, pictures


@pytest.mark.parametrize("container", ["mp4", "ts"])
@pytest.mark.parametrize("kind", ENCODERS)
def test_every_picture_that_ffmpeg_sends_comes_out_to_the_pixel(tmp_path, kind, container):
    """MP4: parameter sets in the SDP alone; TS: in band."""
    clip = made(tmp_path / f"clip.{container}", ENCODERS[kind])
    sdp, packets = caught(clip, tmp_path)
    track = video_track(sdp)
    assert track.codec == ("hevc" if kind == "h265" else "h264")
    assert bool(track.extradata) or container == "ts"
    counts, pictures = received(track, packets)
    assert (counts.lost, counts.refused) == (0, 0)
    shown = show(PublishedStream(track.codec, "rtsp udp", track.extradata), pictures)
    wanted = lumas_of(clip)
    assert len(wanted) == FRAMES
    got = shown.lumas()
    assert len(got) == FRAMES
    assert [number for number in range(FRAMES) if not np.array_equal(got[number], wanted[number])] == []


@pytest.mark.parametrize("kind", ENCODERS)
def test_of_what_ffmpeg_sends_over_a_lossy_network_nothing_wrong_comes_out(tmp_path, kind):
    clip = made(tmp_path / "clip.ts", ENCODERS[kind])
    sdp, packets = caught(clip, tmp_path, 200)
    track, wanted = video_track(sdp), {picture.tobytes() for picture in lumas_of(clip)}
    nowhere = Instant(0.0, 0.0)
    assert len(packets) > 300
    for loss, swaps, seed in ((0.005, 0.0, 1), (0.005, 0.05, 2), (0.02, 0.02, 3), (0.05, 0.0, 4), (0.05, 0.05, 5)):
        relayed = lossy(((packet, nowhere) for packet in packets), loss=loss, swaps=swaps, seed=seed)
        counts, pictures = received(track, [packet for packet, _ in relayed])
        assert counts.lost > 0
        shown = show(PublishedStream(track.codec, "rtsp udp", track.extradata), pictures)
        assert [n for n, picture in enumerate(shown.lumas()) if picture.tobytes() not in wanted] == []
        assert len(shown.frames) < FRAMES
