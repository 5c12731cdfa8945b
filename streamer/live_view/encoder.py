"""Pictures in, VP8 out, small and quick: what all viewers of a camera share.

Blocks for some milliseconds a picture: for a thread of its own. VP8 because every browser has it and no keyframe of it
is large.
"""

from fractions import Fraction

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.stream import VideoStream

from streamer.ingest.frame import VideoImage
from streamer.live_view.messages import CLOCK_HZ

LONGEST_PX = 640
BITS_PER_S = 800_000
_LEAST_PX = 16
_KEYFRAME_EVERY = 600  # frames; viewers ask for those that they need


class Vp8Encoder:
    """One stream; it goes on where the picture's size changes."""

    def __init__(self, fps: float) -> None:
        """fps: about how many pictures a second come, which is what the bits are shared out by."""
        self._fps = fps
        self._context: VideoCodecContext | None = None

    def encode(self, image: VideoImage, media_time: int, keyframe: bool) -> "list[Packet[VideoStream]]":
        """The picture, shrunk to 640 px at most: one packet, or none where libvpx leaves it out.

        media_time (1/90000 s) rises from call to call. Raises av.FFmpegError; after it the next picture is a keyframe.
        """
        width, height = fitted(image.width, image.height)
        context, self._context = self._context, None
        if context is None or (context.width, context.height) != (width, height):
            context = _opened(width, height, self._fps)
        picture = av.VideoFrame.from_ndarray(image.scaled_i420(width, height), format="yuv420p")
        picture.pts, picture.time_base = media_time, Fraction(1, CLOCK_HZ)
        picture.pict_type = PictureType.I if keyframe else PictureType.NONE
        packets = context.encode(picture)
        self._context = context
        return packets


def fitted(width: int, height: int) -> tuple[int, int]:
    """The size at which a picture is shown: even, and LONGEST_PX at most, never larger than it is."""
    share = min(1.0, LONGEST_PX / max(width, height))
    wide, high = (max(_LEAST_PX, round(side * share / 2) * 2) for side in (width, height))
    return wide, high


def _opened(width: int, height: int, fps: float) -> VideoCodecContext:
    context = av.CodecContext.create("libvpx", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, CLOCK_HZ), Fraction(fps).limit_denominator(1000)
    context.bit_rate = BITS_PER_S
    context.gop_size = _KEYFRAME_EVERY
    context.qmin, context.qmax = 2, 56
    context.thread_count = 1
    context.options = {
        "deadline": "realtime",
        "cpu-used": "-6",
        "lag-in-frames": "0",  # each picture leaves at once
        "minrate": str(BITS_PER_S),
        "maxrate": str(BITS_PER_S),
        "bufsize": str(BITS_PER_S),
        "undershoot-pct": "100",
        "overshoot-pct": "15",
        "static-thresh": "1",
    }
    return context
