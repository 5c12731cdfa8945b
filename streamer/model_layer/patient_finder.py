"""PatientFinder: a recogniser as enrolment asks it, whose models may blink: what may pass is tried again.

On the event loop. A photo that gets no answer is refused and the others go on, as a live frame would be skipped.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gallery.errors import InferenceFailed
from recognition.arrays import F32
from recognition.errors import CodedError
from recognition.faces import InSpace
from recognition.image import Image
from recognition.models.model_runner import ModelRunner
from recognition.recogniser import Found, Recogniser
from recognition.serving.lanes import PHOTO
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from streamer.supervise import supervise

log = logging.getLogger(__name__)

T = TypeVar("T")

# With supervise's delays: up to fifteen seconds and a half, seven on the average.
ATTEMPTS = 6


class PatientFinder:
    """What gallery.enrolment.shots.FaceFinder wants, of a recogniser."""

    def __init__(self, recogniser: Recogniser, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._recogniser = recogniser
        self._sleep = sleep

    @property
    def space(self) -> str:
        return self._recogniser.space

    @property
    def spaces(self) -> tuple[str, ...]:
        return self._recogniser.spaces

    async def detect(self, image: Image, lane: str) -> Found:
        """Raises InferenceFailed, and what trying again does not mend."""
        return await self._tried(lambda: self._recogniser.detect(image, lane), lambda: self._recogniser.detector.runner)

    async def in_every_space(self, image: Image, landmarks: F32, lane: str = PHOTO) -> list[InSpace]:
        """Raises as detect() does."""
        return await self._tried(
            lambda: self._recogniser.in_every_space(image, landmarks, lane), lambda: self._recogniser.embedder.runner
        )

    async def _tried(
        self,
        attempt: Callable[[], Awaitable[T]],
        asked: Callable[[], ModelRunner[DetectorSpec] | ModelRunner[EmbedderSpec]],
    ) -> T:
        try:
            return await supervise("photo", attempt, _report, attempts=ATTEMPTS, sleep=self._sleep)
        except CodedError as error:
            if not error.retryable:
                raise
            raise InferenceFailed(
                f"{_blamed(error, asked())} in {ATTEMPTS} tries ({error}); enrol this photo again later"
            ) from None


def _blamed(error: CodedError, runner: ModelRunner[DetectorSpec] | ModelRunner[EmbedderSpec]) -> str:
    """Which model; where templates are made in several spaces, the error names one of the others by itself."""
    named = re.match(r"model (\S+): ", str(error))
    if named and named[1] != runner.name:
        return f"model {named[1]} gave no answer"
    return f"model {runner.name} (version {version_of(runner)}, on {runner.device}) gave no answer"


def version_of(runner: ModelRunner[DetectorSpec] | ModelRunner[EmbedderSpec]) -> str:
    """The server's where a server runs it, else the spec's."""
    spec = runner.spec
    return spec.triton.version if runner.device == "triton" and spec.triton else str(spec.version)


def _report(name: str, error: CodedError) -> None:
    log.info("%s: tried again: %s", name, error, extra={"code": error.code})
