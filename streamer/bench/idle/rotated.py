"""A clip that begins somewhere else: its packets as they are, from a keyframe on, then those before it. Blocks."""

from pathlib import Path

import av


def rotated(clip: Path, from_s: float) -> Path:
    """Beside the clip; from the last keyframe before that second. For clips without B-frames and with closed GOPs."""
    out = clip.with_name(f"{clip.stem}-from{from_s:g}.mp4")
    if from_s == 0:
        return clip
    if out.is_file():
        return out
    part = out.with_suffix(".part")
    with av.open(str(clip)) as source, av.open(str(part), "w", format="mp4") as target:
        video = source.streams.video[0]
        stream = target.add_stream_from_template(video)
        packets = [packet for packet in source.demux(video) if packet.size]
        rate, duration = float(video.average_rate or 25), packets[0].duration or 1
        first = max(n for n, packet in enumerate(packets) if packet.is_keyframe and n / rate <= from_s + 1e-6)
        for number, packet in enumerate(packets[first:] + packets[:first]):
            packet.dts = packet.pts = number * duration
            packet.stream = stream
            target.mux(packet)
    part.rename(out)
    return out
