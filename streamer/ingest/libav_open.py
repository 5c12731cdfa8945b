"""Whether libav is given a file at all, and which of a container's streams is the video. On the camera's thread."""

import os
import stat

from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from streamer.errors import CameraNotFound, StreamHasNoVideo, StreamInvalid
from streamer.ingest import faults
from streamer.ingest.address import Address

# libav draws plain text as a film of letters.
_TEXT_CODECS = frozenset({"ansi", "bintext", "xbin", "idf"})


def check_file(where: Address) -> None:
    """Only plain files: a pipe or a folder could block without limit."""
    try:
        found = os.stat(where.target)
    except OSError as error:
        why = (error.strerror or "unreadable").lower()
        raise CameraNotFound(f"{where.who} can't be opened ({why}); check the path") from None
    if not stat.S_ISREG(found.st_mode):
        raise StreamInvalid(f"{where.who} is no plain file; give a clip, a URL or a /dev/video device")
    if found.st_size == 0:
        raise StreamInvalid(f"{where.who} is empty (0 bytes); give a clip that plays")


def choose_video(where: Address, container: InputContainer) -> VideoStream:
    """The first real video stream; the others are not even parsed. Raises StreamHasNoVideo, StreamInvalid."""
    videos = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not videos and not container.streams.audio:  # libav takes some texts for subtitles
        raise faults.undecodable(where, "is no video")
    if not videos:
        raise StreamHasNoVideo(f"{where.who} has no video in it; choose a stream or a file that has")
    video = videos[0]
    if video.codec_context is None:
        raise faults.undecodable(where, "has a codec that is not known here")
    if video.codec_context.name in _TEXT_CODECS:
        raise faults.undecodable(where, "is text and no video")
    for stream in container.streams:
        if stream.index != video.index:
            stream.discard = Discard.all
    return video
