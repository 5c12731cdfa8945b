"""A picture in, a JPEG out, as small as viewers' VP8: what browsers without WebRTC and walls of many cameras are sent.

Blocks for a millisecond or two a picture: for a thread of its own.
"""

import cv2

from streamer.ingest.frame import VideoImage
from streamer.live_view.encoder import fitted

QUALITY = 70  # some 25 kB of 640x360


def jpeg_of(image: VideoImage) -> bytes:
    """The picture, shrunk to 640 px at most. Raises cv2.error and av.FFmpegError."""
    bgr = image.scaled_bgr(*fitted(image.width, image.height))
    done, packed = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise cv2.error("no JPEG was made")
    return packed.tobytes()
