"""One decoded video frame, with the times that its journey is measured by.

Made on the camera's thread; its pixel views are asked for on the CPU pool and convert only what is looked at.
"""

import re
from dataclasses import dataclass, field, replace

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from recognition.arrays import PICTURES, U8
from streamer.motion.moved import Moved

# Formats whose first plane is 8-bit luma as it stands.
_PLANAR_LUMA = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray"})

# Formats of three planes, the two of colour half as large each way; of nv12 those two lie in one.
_I420 = frozenset({"yuv420p", "nv12"})

# libav's numbers: BT.470BG, SMPTE 170M and "unspecified", which swscale too takes for BT.601.
_BT_601 = frozenset({2, 5, 6})
_LIMITED_RANGE, _FULL_RANGE = 1, 2
_EVERY = 16
# small_luma(): so many cells on the longer side, and rows that are read of each at least.
_CELLS, _ROWS_READ = 160, 4
_DEEP_LUMA = re.compile(r"(?:yuv4\d\dp|gray|p0)1[0-6]le")  # first planes that are luma in 16 bits

# libav's own choice is several threads for each picture, started and ended every time: twice the CPU time.
_THREADS = 1


def _pixels(plane: VideoPlane) -> U8:
    """A view of one 8-bit plane without the padding at the end of its rows; it keeps the plane alive."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]


def _deep_pixels(plane: VideoPlane) -> NDArray[np.uint16]:
    """The same of one with 16 bits a pixel."""
    return np.frombuffer(memoryview(plane), "<u2").reshape(-1, plane.line_size // 2)[: plane.height, : plane.width]


def _limited(luma: U8) -> U8:
    """Of full range as of limited range; a copy."""
    return np.asarray(16 + luma * np.float32(219 / 255), dtype=np.uint8)


class ToldRotation:
    """How a stream says that its pictures are turned, picture after picture, degrees counterclockwise.

    H.264 and H.265 say it beside a keyframe for all up to the next one (repetition period 1), and libav marks that
    picture alone. Look at every picture, also at those that are left out.
    """

    def __init__(self) -> None:
        self._degrees = 0

    def look(self, picture: av.VideoFrame) -> int:
        if picture.key_frame or picture.rotation:
            self._degrees = picture.rotation
        return self._degrees


def quarter_turns(told_degrees: int, rotate: int) -> int:
    """Counterclockwise quarters from a stored picture to the one that a person sees. rotate: clockwise, degrees."""
    return (round(told_degrees / 90) - rotate // 90) % 4


class VideoImage:
    """A decoded picture as a person sees it, behind recognition's Image protocol; converts when asked, on any thread.

    Pixels that are not square are stretched, never squeezed: `pixel_aspect` is a stored pixel's width to its height. Of
    an interlaced picture one field is looked at, its lines stretched: what moves is in two places in the two fields.
    Turned as the stream tells (phones hold the sensor sideways; None: as this picture does), then clockwise by `rotate`
    degrees, in steps of 90. open_share: of the points of luma_sample(), those that no mask has blacked.
    """

    def __init__(
        self,
        video_frame: av.VideoFrame,
        pixel_aspect: float = 1.0,
        rotate: int = 0,
        told_rotation: int | None = None,
        open_share: float = 1.0,
    ) -> None:
        self._frame = video_frame
        told = video_frame.rotation if told_rotation is None else told_rotation
        self._turns = quarter_turns(told, rotate)
        self.open_share = open_share
        self._rows = 2 if video_frame.interlaced_frame else 1  # every so many rows is a field's
        wide, high = max(1.0, pixel_aspect), max(1.0, 1 / pixel_aspect)
        self._size = round(video_frame.width * wide), round(video_frame.height * high)  # before it is turned
        self._bgr: U8 | None = None

    @property
    def width(self) -> int:
        return self._size[self._turns % 2]

    @property
    def height(self) -> int:
        return self._size[1 - self._turns % 2]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about how it is stored, in words; nothing where it is stored as it is seen."""
        frame, (wide, high) = self._frame, self._size
        said = []
        if (wide, high) != (frame.width, frame.height):
            said.append(f"its pixels are not square: stored as {frame.width}x{frame.height}, seen as {wide}x{high}")
        if self._rows > 1:
            said.append("it is interlaced: one field of each picture is looked at")
        if self._turns:
            said.append(f"it is turned by {360 - 90 * self._turns} degrees clockwise")
        return tuple(said)

    def scaled_rgb_planes(self, width: int, height: int) -> U8:
        """The whole picture resized to (3, height, width), planes in the order R, G, B; a copy."""
        if self._turns % 2:
            width, height = height, width
        if self._is_plain_i420() and width % 2 == 0 and height % 2 == 0:
            planes = self._scaled_i420(width, height)
        elif self._rows == 1 and (width, height) != (self._frame.width, self._frame.height):
            # Not where nothing is scaled: libswscale then leaves the last columns of some widths unwritten
            # (findings/planar_rgb_of_the_same_size_lacks_its_last_columns.sh).
            g, b, r = (_pixels(plane) for plane in self._converted("gbrp", width, height).planes)
            planes = np.stack((r, g, b))
        else:
            scaled_bgr = cv2.resize(self._field_bgr(), (width, height), interpolation=cv2.INTER_LINEAR)
            planes = np.asarray(scaled_bgr[:, :, ::-1].transpose(2, 0, 1), dtype=np.uint8)
        return np.ascontiguousarray(np.rot90(planes, self._turns, axes=(1, 2)))

    def scaled_i420(self, width: int, height: int) -> U8:
        """The whole picture resized for the eye, as (height * 3 / 2, width) I420 (BT.601, limited range); a copy.

        Width and height are even.
        """
        if self._is_plain_i420() and not self._turns:
            return self._resized_i420(width, height, cv2.INTER_AREA)
        rgb = cv2.merge(list(self.scaled_rgb_planes(width, height)))
        return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)

    def scaled_bgr(self, width: int, height: int) -> U8:
        """The whole picture resized for the eye, as (height, width, 3), OpenCV's channel order; a copy.

        Width and height are even.
        """
        name = self._frame.format.name
        if name not in _I420:
            return np.asarray(cv2.merge(list(self.scaled_rgb_planes(width, height)[::-1])), dtype=np.uint8)
        if self._turns % 2:
            width, height = height, width
        i420 = self._resized_i420(width, height, cv2.INTER_AREA)
        if self._is_plain_i420():
            bgr = cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420)
        else:  # other colours (HD's BT.709) are libswscale's to convert, of the few pixels that are left
            small = av.VideoFrame.from_ndarray(i420, format="yuv420p")
            small.colorspace, small.color_range = self._frame.colorspace, self._frame.color_range
            bgr = VideoReformatter().reformat(small, format="bgr24", threads=_THREADS).to_ndarray()
        return np.ascontiguousarray(np.rot90(bgr, self._turns), dtype=np.uint8)

    def _is_plain_i420(self) -> bool:
        """Whether OpenCV's one I420 conversion (BT.601, limited range) is the right one for this picture's planes."""
        frame = self._frame
        return frame.format.name in _I420 and frame.colorspace in _BT_601 and frame.color_range != _FULL_RANGE

    def _scaled_i420(self, width: int, height: int) -> U8:
        """Shrink the three planes, then convert the few pixels that are left: faster than swscale, and smoother."""
        planes, rgb = PICTURES.u8((3, height, width)), PICTURES.u8((height, width, 3))
        i420 = self._resized_i420(width, height, cv2.INTER_LINEAR)
        cv2.split(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420, dst=rgb), list(planes))
        return planes

    def _resized_i420(self, width: int, height: int, interpolation: int) -> U8:
        i420 = PICTURES.u8((height * 3 // 2, width))
        chroma = i420[height:].reshape(2, height // 2, width // 2)
        for plane, target in zip(self._i420_planes(), (i420[:height], *chroma), strict=True):
            field = plane[:: self._rows]
            cv2.resize(field, target.shape[::-1], dst=target, interpolation=interpolation)
        return i420

    def _i420_planes(self) -> tuple[U8, U8, U8]:
        """Luma, blue and red; of nv12, which hardware decodes into, the two that lie in one are taken apart."""
        if self._frame.format.name != "nv12":
            y, u, v = (_pixels(plane) for plane in self._frame.planes)
            return y, u, v
        luma, both = self._frame.planes
        pairs = np.frombuffer(memoryview(both), np.uint8).reshape(-1, both.line_size)[: both.height, : 2 * both.width]
        u, v = np.ascontiguousarray(pairs[:, 0::2]), np.ascontiguousarray(pairs[:, 1::2])
        return _pixels(luma), u, v

    def luma(self) -> U8:
        """Brightness at full size, (height, width); as a rule a view of what the decoder wrote."""
        frame = self._frame
        if frame.format.name not in _PLANAR_LUMA:
            frame = self._converted("gray")
        return np.rot90(self._stretched(_pixels(frame.planes[0])[:: self._rows]), self._turns)

    def luma_sample(self) -> U8:
        """Brightness, limited range, of one pixel in every 16 by 16 as they are stored; a copy, small and cheap."""
        frame = self._frame
        if frame.format.name in _PLANAR_LUMA:
            sample = np.ascontiguousarray(_pixels(frame.planes[0])[8::_EVERY, 8::_EVERY])
            is_limited = frame.color_range != _FULL_RANGE and not frame.format.name.startswith("yuvj")
            return sample if is_limited else _limited(sample)
        small = self._converted("gray", max(2, frame.width // _EVERY), max(2, frame.height // _EVERY))
        return _limited(_pixels(small.planes[0]))  # swscale's gray is of full range

    def small_luma(self) -> U8:
        """Brightness, limited range, of cells of as many stored pixels each way, about 160 on the longer side, as a
        person sees them; a copy. A rest that fills no cell is left out on the right and below.
        """
        frame = self._frame
        side = max(1, round(max(frame.width, frame.height) / _CELLS))
        side += side % 2 if self._rows > 1 else 0
        columns, rows = max(frame.width // side, 1), max(frame.height // side, 1)
        deep = _DEEP_LUMA.fullmatch(frame.format.name)
        if frame.format.name in _PLANAR_LUMA or deep:
            plane = frame.planes[0]
            stored = _pixels(plane) if not deep else _deep_pixels(plane)
            field, high = stored[:: self._rows], side // self._rows
            # Whole factors: OpenCV takes a quarter of the time then. Cameras' noise is gone by a few rows of them.
            every = next(n for n in range(max(high // _ROWS_READ, 1), 0, -1) if high % n == 0)
            small = cv2.resize(
                field[: rows * high : every, : columns * side], (columns, rows), interpolation=cv2.INTER_AREA
            )
            if deep:  # p010 and its kind have their bits on top
                depth = 16 if frame.format.name.startswith("p0") else frame.format.components[0].bits
                small = np.right_shift(small.astype(np.uint16), depth - 8)
            is_grey = frame.format.name.startswith("gray") and frame.color_range != _LIMITED_RANGE  # libav takes it so
            if is_grey or frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj"):
                small = 16 + small * np.float32(219 / 255)
        else:
            small = _pixels(self._converted("yuv420p", columns, rows).planes[0])
        return np.ascontiguousarray(np.rot90(small, self._turns), dtype=np.uint8)

    def bgr(self) -> U8:
        """Every pixel, (height, width, 3), OpenCV's channel order; converted once."""
        if self._bgr is None:
            upright = np.rot90(self._stretched(self._field_bgr()), self._turns)
            self._bgr = np.ascontiguousarray(upright, dtype=np.uint8)
        return self._bgr

    def _field_bgr(self) -> U8:
        """As it is stored, (rows, width, 3); of an interlaced picture one field's rows."""
        frame, rows = self._frame, self._rows
        if rows > 1 and self._is_plain_i420() and frame.height % 4 == 0 and frame.width % 2 == 0:
            # Its chroma, too: converted as a whole picture, each row would get colours of both fields.
            i420 = np.concatenate([plane[::rows].ravel() for plane in self._i420_planes()])
            bgr = cv2.cvtColor(i420.reshape(-1, frame.width), cv2.COLOR_YUV2BGR_I420)
            return np.asarray(bgr, dtype=np.uint8)
        return np.asarray(self._converted("bgr24").to_ndarray()[::rows], dtype=np.uint8)

    def _converted(self, form: str, width: int | None = None, height: int | None = None) -> av.VideoFrame:
        """By a converter of this call's own: the frame's is one for all threads, and two at once would crash."""
        frame = self._frame
        if frame.format.name == "nv12":  # swscale rounds it otherwise: who decodes must not change who is seen
            frame = VideoReformatter().reformat(frame, format="yuv420p", threads=_THREADS)
        return VideoReformatter().reformat(frame, width, height, form, interpolation="BILINEAR", threads=_THREADS)

    def _stretched(self, stored: U8) -> U8:
        """Rows and pixels as they are shown; a view where they are as they are stored."""
        if stored.shape[1::-1] == self._size:
            return stored
        return np.asarray(cv2.resize(stored, self._size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture and its times.

    number counts this camera's sampled frames from 0, across reconnects. captured_at is Unix time in s: when
    the frame's last packet arrived (files, and streams that come in bursts: when it was due). captured_s is the same
    moment on time.monotonic(), for durations. decode_s is what its decoding took. late_s: how much later than its
    live stream's quickest frame it was handed out; None for a clip. moved: where it differs from what its camera
    usually shows; None: nobody looked, so anything may have moved.
    """

    number: int
    image: VideoImage = field(repr=False)
    captured_at: float
    captured_s: float
    decode_s: float
    late_s: float | None = None
    moved: Moved | None = field(default=None, repr=False)

    def instead_of(self, unread: "Frame") -> "Frame":
        """This one, which a frame gave way to that nobody had looked at: what moved in that moved in this."""
        if self.moved is None or unread.moved is None:
            return replace(self, moved=None)
        return replace(self, moved=self.moved.with_earlier(unread.moved))

    @property
    def width(self) -> int:
        return self.image.width

    @property
    def height(self) -> int:
        return self.image.height
