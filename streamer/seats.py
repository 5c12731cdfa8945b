"""The recogniser's places for models, as a switcher steers them. On the event loop."""

from dataclasses import dataclass

from recognition.models.figures import Place
from recognition.queue_load import QueueLoad
from recognition.recogniser import Recogniser


@dataclass(frozen=True, slots=True)
class DetectorSeat:
    """The recogniser's detector, as a switcher steers it."""

    recogniser: Recogniser

    @property
    def place(self) -> Place:
        return self.recogniser.detector.place

    def load(self) -> QueueLoad:
        return self.recogniser.detector.batcher.load()

    async def switch(self, place: Place, *, need_mib: float | None, room_first: bool) -> None:
        await self.recogniser.switch_detector(place, need_mib=need_mib, room_first=room_first)


@dataclass(frozen=True, slots=True)
class EmbedderSeat:
    """The recogniser's embedder, as a switcher steers it."""

    recogniser: Recogniser

    @property
    def place(self) -> Place:
        return self.recogniser.embedder.place

    def load(self) -> QueueLoad:
        return self.recogniser.embedder.batcher.load()

    async def switch(self, place: Place, *, need_mib: float | None, room_first: bool) -> None:
        await self.recogniser.switch_embedder(place, need_mib=need_mib, room_first=room_first)
