"""An embedder chosen by hand: what a choice is held to, and how a running service takes it. For `models use` and HTTP.

may_serve() blocks for the weights' digests and the gallery; ModelChooser runs on the loop.
"""

import asyncio
from dataclasses import dataclass
from functools import partial

from recognition.models.manager import ModelManager
from recognition.specs.spec import EmbedderSpec
from streamer.errors import ModelNotSwitched, PeopleNotCovered
from streamer.model_layer.coverage import coverage_in
from streamer.model_layer.layer import ModelLayer
from streamer.model_layer.manual_choice import AUTO, Document, ModelChoice, answers, read_choice, write_choice
from streamer.model_layer.setup import ladder_of, verify_model
from streamer.process import open_gallery
from streamer.settings import Settings

WITHIN_S = 30.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Choosable:
    """name: the spec's own. is_in_ladder: enrolment makes its templates at once."""

    name: str
    is_in_ladder: bool


def may_serve(name: str, settings: Settings, manager: ModelManager, *, has_gallery: bool = True) -> Choosable:
    """has_gallery: False where none may be opened; the service that has it holds the choice to it by itself.

    Raises ModelNotFound, what speaks against its weights, PeopleNotCovered, GalleryError.
    """
    spec = manager.spec_of(name, EmbedderSpec)
    manager.need(spec.name)
    verify_model(spec, manager, settings.paths.models)
    ladder = ladder_of(settings, manager)
    if has_gallery:
        _hold_to_coverage(spec, ladder, manager, settings)
    return Choosable(spec.name, spec.name in ladder)


def _hold_to_coverage(spec: EmbedderSpec, ladder: tuple[str, ...], manager: ModelManager, settings: Settings) -> None:
    """Raises PeopleNotCovered where the service would refuse the model for that."""
    if not settings.gallery_path.is_file():
        return
    others = [other for other in ladder if manager.why_not(other) is None]
    with open_gallery(settings) as store:
        against = coverage_in(store, manager, {spec.name, *others}).against(spec.name, others)
    if against is not None:
        raise PeopleNotCovered(f"model {spec.name}: {against.why}")


class ModelChooser:
    """Of a running service: one choice at a time."""

    def __init__(self, layer: ModelLayer, *, within_s: float = WITHIN_S) -> None:
        self._layer = layer
        self._within_s = within_s
        self._one_at_a_time = asyncio.Lock()

    async def use(self, name: str) -> Document:
        """Have this embedder serve (AUTO: the selector's choice), as `models use` does; returns what serves then.

        A choice that the service refuses is taken back. Raises what may_serve() raises, DataFolderUnwritable, and
        ModelNotSwitched where it is refused or not answered in time.
        """
        settings, layer = self._layer.settings, self._layer
        async with self._one_at_a_time:
            chosen = None
            if name != AUTO:
                check = partial(may_serve, name, settings, layer.manager, has_gallery=layer.has_gallery)
                chosen = (await asyncio.to_thread(check)).name
            path = settings.model_choice_path
            before = await asyncio.to_thread(read_choice, path)
            await asyncio.to_thread(write_choice, path, ModelChoice(chosen))
            document = await self._answer(chosen)
            refused = None if document is None or chosen is None else document["by_hand_refused"]
            if document is None or refused is not None:
                await asyncio.to_thread(write_choice, path, before)
                await self._answer(before.embedder)  # until then the selector chooses
                why = f"no answer within {self._within_s:g} s" if refused is None else refused["why"]
                raise ModelNotSwitched(f"model {name} does not serve: {why}; the choice was taken back")
            return document

    async def _answer(self, chosen: str | None) -> Document | None:
        """None where nothing is said in time."""
        try:
            async with asyncio.timeout(self._within_s):
                while not answers(document := self._layer.document(), chosen):  # noqa: ASYNC110 - nobody tells of refusals
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            return None
        return document
