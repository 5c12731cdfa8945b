"""A camera looked at for a moment: what it sends, what is odd about it, and how the faces in its last picture stand.

On the loop, with the source's own thread.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from recognition.errors import CodedError
from recognition.recogniser import Recogniser
from streamer.ingest.probe import ProbeReport
from streamer.ingest.probe import probe as probe_source
from streamer.motion.areas import Areas
from streamer.motion.within import finder_within
from streamer.pipeline.stills import turns_of
from streamer.settings import CameraSettings
from streamer.variables import expand_url


async def probed(
    camera: CameraSettings,
    name: str,
    watch_s: float,
    models: Callable[[], AbstractAsyncContextManager[Recogniser]],
    wake_within_s: float,
) -> ProbeReport:
    """Where models can't be had, or fail, faces are not looked for, which is said. Raises the CameraError."""
    found = await probe_source(expand_url(camera.url), camera, name, watch_s=watch_s, wake_within_s=wake_within_s)
    try:
        async with models() as recogniser:
            areas = Areas(camera.masks, camera.regions)
            turns = await turns_of(found.frame.image, finder_within(recogniser, areas))
    except CodedError as error:
        return replace(found.report, notes=(*found.report.notes, f"faces were not looked for: {error}"))
    report = replace(found.report, faces=len(turns))
    if turns and 0 not in turns:
        turn = (camera.rotate + Counter(turns).most_common(1)[0][0]) % 360
        return replace(report, notes=(*report.notes, f"faces stand upright only in the turned picture: rotate: {turn}"))
    return report
