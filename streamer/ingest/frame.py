"""One decoded video frame, with the times that its journey is measured by.

Made on the camera's thread; its pixel views are asked for on the CPU pool and convert only what is looked at.
"""

from dataclasses import dataclass, field

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane

from recognition.arrays import U8

# Formats whose first plane is 8-bit luma as it stands.
_PLANAR_LUMA = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray"})

# libav's numbers: BT.470BG, SMPTE 170M and "unspecified", which swscale too takes for BT.601.
_BT_601 = frozenset({2, 5, 6})
_FULL_RANGE = 2

# libav's own choice is several threads for each picture, started and ended every time: twice the CPU time.
_THREADS = 1


def _pixels(plane: VideoPlane) -> U8:
    """A view of one 8-bit plane without the padding at the end of its rows; it keeps the plane alive."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]


class VideoImage:
    """A decoded picture behind recognition's Image protocol; converts when asked, the big one once.

    A clip's display matrix (phones hold the sensor sideways) is honoured in steps of 90 degrees.
    """

    def __init__(self, video_frame: av.VideoFrame) -> None:
        self._frame = video_frame
        self._turns = round(video_frame.rotation / 90) % 4  # counterclockwise quarters
        self._bgr: U8 | None = None

    @property
    def width(self) -> int:
        return int(self._frame.height if self._turns % 2 else self._frame.width)

    @property
    def height(self) -> int:
        return int(self._frame.width if self._turns % 2 else self._frame.height)

    def scaled_rgb_planes(self, width: int, height: int) -> U8:
        """The whole picture resized to (3, height, width), planes in the order R, G, B; a copy."""
        if self._turns % 2:
            width, height = height, width
        if self._is_plain_i420() and width % 2 == 0 and height % 2 == 0:
            planes = self._scaled_i420(width, height)
        else:
            scaled = self._frame.reformat(width, height, "gbrp", interpolation="BILINEAR", threads=_THREADS)
            g, b, r = (_pixels(plane) for plane in scaled.planes)
            planes = np.stack((r, g, b))
        return np.ascontiguousarray(np.rot90(planes, self._turns, axes=(1, 2)))

    def _is_plain_i420(self) -> bool:
        """Whether OpenCV's one I420 conversion (BT.601, limited range) is the right one for this picture."""
        frame = self._frame
        return frame.format.name == "yuv420p" and frame.colorspace in _BT_601 and frame.color_range != _FULL_RANGE

    def _scaled_i420(self, width: int, height: int) -> U8:
        """Shrink the three planes, then convert the few pixels that are left: faster than swscale, and smoother."""
        i420 = np.empty((height * 3 // 2, width), np.uint8)
        chroma = i420[height:].reshape(2, height // 2, width // 2)
        for plane, target in zip(self._frame.planes, (i420[:height], *chroma), strict=True):
            cv2.resize(_pixels(plane), target.shape[::-1], dst=target, interpolation=cv2.INTER_LINEAR)
        planes = np.empty((3, height, width), np.uint8)
        cv2.split(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420), list(planes))
        return planes

    def luma(self) -> U8:
        """Brightness at full size, (height, width); as a rule a view of what the decoder wrote."""
        frame = self._frame
        if frame.format.name not in _PLANAR_LUMA:
            frame = frame.reformat(format="gray", threads=_THREADS)
        return np.rot90(_pixels(frame.planes[0]), self._turns)

    def bgr(self) -> U8:
        """Every pixel, (height, width, 3), OpenCV's channel order; converted once."""
        if self._bgr is None:
            upright = np.rot90(self._frame.to_ndarray(format="bgr24", threads=_THREADS), self._turns)
            self._bgr = np.ascontiguousarray(upright, dtype=np.uint8)
        return self._bgr


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture and its times.

    number counts this camera's sampled frames from 0, across reconnects. captured_at is Unix time in s: when
    the frame's last packet arrived (files: when it was due). captured_s is the same moment on
    time.monotonic(), for durations. decode_s is what its decoding took.
    """

    number: int
    image: VideoImage = field(repr=False)
    captured_at: float
    captured_s: float
    decode_s: float

    @property
    def width(self) -> int:
        return self.image.width

    @property
    def height(self) -> int:
        return self.image.height
