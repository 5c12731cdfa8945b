"""The models of a running service: which serve, how they were chosen, and what people see of it.

Opens the manager, a switcher for each role and the recogniser that they steer; run() keeps them right while cameras
run. On the event loop; loading, the gallery and files are on threads. Without a gallery (`serve --api-only`) nothing is
counted there and nothing is written: the data folder is another service's.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

from recognition.errors import CodedError
from recognition.models.manager import ModelManager
from recognition.reason import Reason
from recognition.recogniser import Recogniser, open_recogniser
from recognition.selection.candidates import Placement, Requirement
from recognition.selection.measurements import LocalMeasurements
from recognition.serving.served_model import BatchPlan, ServedModel
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from streamer.model_layer.announce import Fallbacks, FirstFigures, Manifest
from streamer.model_layer.backfill import TemplateBackfill
from streamer.model_layer.manual_choice import read_choice
from streamer.model_layer.report import Seated, document, readiness, refusals
from streamer.model_layer.selection_input import SwitchRules
from streamer.model_layer.setup import AnyLease, ladder_of, lease_at, make_manager, recogniser_config
from streamer.model_layer.switcher import Switcher, SwitchHooks
from streamer.model_layer.triton_monitor import TritonMonitor
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.match_policy import MatchPolicy
from streamer.readiness import ModelState, Part
from streamer.settings import Settings
from streamer.shedding.shedder import Shedder
from streamer.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

# Of threads for photos and requests. At 5 cameras still felt them, at 19 one that is set aside while it holds the
# interpreter's lock would hold up the cameras' for too long where other programs take all cores.
_PATIENT_NICENESS = 15


class ModelLayer:
    """Made by open_models() alone."""

    def __init__(
        self, settings: Settings, manager: ModelManager, metrics: Metrics, *, has_gallery: bool = True
    ) -> None:
        self.settings = settings
        self.has_gallery = has_gallery
        self.manager = manager
        self.ladder = ladder_of(settings, manager)
        self.told: Callable[[dict[str, object]], None] = lambda _: None
        self.shedder: Shedder | None = None  # which cuts down what is asked before a faster model has to serve
        self._metrics = metrics
        self._chosen: str | None = None
        self._choice_fault: CodedError | None = None
        self._recogniser: Recogniser | None = None
        self._live_gallery: LiveGallery | None = None
        self._prepared: set[str] = set()
        local = LocalMeasurements(settings.figures_path)
        wanted = settings.recognition.requirement
        # There is but one, and of detectors no accuracy is known that could be asked for: its place is what is chosen.
        of_detector: Requirement = wanted if wanted == "minimal_memory" else "speed"
        detectors = (settings.recognition.detector,)
        self.detector = Switcher(
            manager,
            self._rules(detectors, of_detector),
            local,
            metrics,
            SwitchHooks(changed=self._changed, shed_s=self._shed_s),
        )
        hooks = SwitchHooks(self._not_covered, self._prepare, self._changed, self._shed_s)
        self.embedder = Switcher(manager, self._rules(self.ladder, wanted), local, metrics, hooks)
        self.covering = TemplateBackfill(settings, manager, local, metrics, self._embedders)
        self._servers = TritonMonitor(manager, self.embedder, settings.recognition.max_batch)
        self._unhealthy: str | None = None
        self._manifest = Manifest(settings.manifest_path)
        self._fallbacks = Fallbacks(metrics)
        self._first_figures = FirstFigures(manager, local)
        self._last_told: object = None

    def _rules(self, names: tuple[str, ...], requirement: Requirement) -> SwitchRules:
        section = self.settings.recognition
        return SwitchRules(
            names=names,
            requirement=requirement,
            device=section.device,
            latency_goal_ms=section.latency_goal_ms,
            minimum_stay_s=section.minimum_stay_s,
            max_batch=section.max_batch,
            threads_for=BatchPlan(section.runners).threads_for,
        )

    def _shed_s(self) -> float | None:
        return None if self.shedder is None else self.shedder.held_s()

    @property
    def recogniser(self) -> Recogniser:
        assert self._recogniser is not None, "open() comes first"
        return self._recogniser

    async def open(self, stack: AsyncExitStack) -> None:
        """Choose, load and serve; a place that can't be had is left for the next best. Raises CodedErrors."""
        if self.has_gallery:
            with suppress(OSError):
                self.settings.manifest_path.unlink()  # what served the last time serves no more
        await asyncio.to_thread(self.look_up)
        if len(self._embedders()) > 1:
            await self._servers.ask(self._embedders())
        leases: list[AnyLease] = []
        try:
            at = [await self._begun(switcher, leases) for switcher in (self.detector, self.embedder)]
            config = replace(
                recogniser_config(self.settings, self._metrics),
                detector_at=at[0],
                embedder_at=at[1],
                patient_niceness=_PATIENT_NICENESS if self.has_gallery else 0,  # else there are no cameras
            )
            recogniser = await stack.enter_async_context(open_recogniser(config, self.manager))
        finally:
            for lease in leases:
                await asyncio.to_thread(lease.release)
        for switcher, slot in ((self.detector, recogniser.detecting), (self.embedder, recogniser.embedding)):
            slot.on_trouble = switcher.trouble
            switcher.attached(slot)
        self._recogniser = recogniser  # from now on it hears of changes
        for switcher in (self.detector, self.embedder):
            if switcher.standing is not None:
                log.info("model %s", switcher.standing.why)
        self._tell_of_the_configured()

    def _tell_of_the_configured(self) -> None:
        """Say why recognition.embedder is not the one that serves, where it is not."""
        wanted, choice = self.ladder[0], self.embedder.choice
        if self.recogniser.embedder.name != wanted and self.embedder.by_hand is None:
            against = choice.why_not(wanted) if choice is not None else None
            why, code = (against.why, against.code) if against is not None else ("it can't be had", "unavailable")
            log.warning(
                "%s serves, not recognition.embedder: %s", self.recogniser.embedder.name, why, extra={"code": code}
            )

    async def _begun(self, switcher: Switcher, leases: list[AnyLease]) -> Placement:
        """The best place that its model could be loaded at; its lease is among `leases` then."""
        while True:
            place = switcher.first()
            try:
                leases.append(await asyncio.to_thread(lease_at, self.manager, place))
            except CodedError as error:
                if not switcher.could_not_begin(error):
                    raise
                log.warning("%s", error, extra={"code": error.code})
            else:
                return place

    async def attach(self, live_gallery: LiveGallery, told: Callable[[dict[str, object]], None]) -> None:
        """From now on the live gallery knows an embedder before it serves; `told` gets the document of each change."""
        self._live_gallery = live_gallery
        self.told = told
        for name in self.ladder:
            if self.manager.why_not(name) is None:
                await self._prepare(name)
        self._changed()
        await self._write_down()

    async def _prepare(self, name: str) -> None:
        """Before its first face comes, the gallery is indexed in its space; then the live gallery follows it there."""
        if self._live_gallery is not None and name not in self._prepared:
            spec = self.manager.spec_of(name, EmbedderSpec)
            await self._live_gallery.add_embedder(MatchPolicy.of(self.settings, spec, self.recogniser))
            self._prepared.add(name)

    def _changed(self) -> None:
        """Something else serves now."""
        if self._live_gallery is not None:
            self._live_gallery.use_embedder(self.recogniser.embedder.name)
        if self._recogniser is not None:
            self._fallbacks.tell(self.seated())
            document = self.document()
            if self.has_gallery:
                self._manifest.put(document)
            self._last_told = self._news()
            self.told(document)

    async def _write_down(self) -> None:
        if not self.has_gallery:
            return
        await self._manifest.write()
        for switcher, served in self.seated():
            if served.device == "triton":
                switcher.weighed.server_ms[served.name] = dict(served.runner.run_ms)
            await self._first_figures.keep(served.runner)

    # While it runs.

    async def run(self) -> None:
        """Look now and again, for ever; at servers beside, whose silence takes longer."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_right(), name="watch models")
            tasks.create_task(self._servers.keep_looking(self._serving), name="watch Triton")

    def _serving(self) -> list[ServedModel[DetectorSpec] | ServedModel[EmbedderSpec]]:
        return [served for switcher, served in self.seated() if not switcher.vacant]

    async def _keep_right(self) -> None:
        while True:
            await asyncio.sleep(self.settings.recognition.poll_s)
            self._take_choice()
            if self._live_gallery is not None:
                await self.covering.count(self._live_gallery)
            self._watch_health()
            if len(self._embedders()) > 1:
                await self._servers.ask(self._embedders())
            for switcher in (self.detector, self.embedder):
                await switcher.look()
            self._fallbacks.tell(self.seated())
            if self._news() != self._last_told:
                self._changed()
            await self._write_down()
            self._metrics.vram_free.set(self.manager.ledger.vram_free_bytes())
            for model, held in self.manager.ledger.vram_reserved_bytes().items():
                self._metrics.vram_reserved.labels(model=model).set(held)

    async def keep_covered(self) -> None:
        """Make the templates that people lack in the ladder's spaces, for ever."""
        assert self._live_gallery is not None
        await self.covering.keep(self._live_gallery, self.recogniser.signature_with)

    def _take_choice(self) -> None:
        """Follow what `models use` wrote; a choice that can't be is told once, and not followed."""
        chosen = read_choice(self.settings.model_choice_path).embedder
        if chosen == self._chosen:
            return
        self._chosen, self._choice_fault = chosen, None
        self.embedder.choose_by_hand(None)
        if chosen is not None:
            try:
                self.embedder.choose_by_hand(self.manager.spec_of(chosen, EmbedderSpec).name)
            except CodedError as error:
                self._choice_fault = error
                log.warning("%s: %s", self.settings.model_choice_path, error, extra={"code": error.code})

    def _watch_health(self) -> None:
        """Show whether the embedder's answers are of use; one whose are not is done without, if another may serve."""
        fault, served = self.recogniser.fault, self.recogniser.embedder
        name = served.name
        self._metrics.model_healthy.labels(model=name).set(fault is None)
        if fault is not None:
            if self._unhealthy != name:
                log.error("%s", fault, extra={"code": fault.code})
            if any(other != name for other in self.ladder):
                self.embedder.hold_back(
                    name, Reason("unhealthy", str(fault))
                )  # anew while it serves, for want of another
        elif self._unhealthy == name:
            log.info("model %s: its embeddings are usable again", name)
        self._unhealthy = name if fault is not None else None
        self._servers.watch(name, served.place.device, served.runner.why_not())

    # Who has templates.

    def _embedders(self) -> list[str]:
        by_hand = () if self.embedder.by_hand is None else (self.embedder.by_hand,)
        return list(dict.fromkeys((*self.ladder, *by_hand)))

    def look_up(self) -> None:
        """Read what was chosen by hand and who has templates: choices go by it. Blocks. Raises GalleryError."""
        self._take_choice()
        if self.has_gallery:
            self.covering.look_up()

    def _not_covered(self, name: str) -> Reason | None:
        """An embedder that lacks people is not switched to, where another lacks fewer; nor is it left for that."""
        if self._recogniser is not None and self._recogniser.embedder.name == name:
            return None
        return self.covering.against(name)

    # What people see.

    def seated(self) -> tuple[Seated, Seated]:
        """Each role's switcher, and what serves."""
        recogniser = self.recogniser
        return (self.detector, recogniser.detector), (self.embedder, recogniser.embedder)

    @property
    def fault(self) -> str | None:
        """Why frames or faces go without an answer now, or with one of no use; None where all is well."""
        if self.recogniser.fault is not None:
            return str(self.recogniser.fault)
        for switcher, served in self.seated():
            if switcher.vacant and switcher.standing is not None:
                return f"{served.name} serves no more, and nothing else can: {switcher.standing.why}"
            against = served.runner.why_not()
            if against is not None:
                return against.why
        return None

    @property
    def triton(self) -> Part | None:
        """How the servers of the models that serve are; None where none of them is on one."""
        remote = [served for _, served in self.seated() if served.device == "triton"]
        if not remote:
            return None
        faults = [against.why for served in remote if (against := served.runner.why_not()) is not None]
        return Part("triton", not faults, "; ".join(faults))

    def readiness(self) -> tuple[ModelState, ...]:
        """Every model of the configured set, and what speaks against it."""
        return readiness(self.seated())

    def document(self) -> dict[str, object]:
        """What serves, why, why not the others; for MQTT and the manifest."""
        return document(self.seated(), self.recogniser.signature, self._chosen, self._by_hand_refused())

    def _by_hand_refused(self) -> dict[str, str] | None:
        """Why the embedder that was chosen by hand does not serve; None where it does, or will at the next look."""
        fault, refusal = self._choice_fault, self.embedder.not_followed
        if fault is not None:
            return {"code": fault.code, "why": str(fault)}
        if refusal is None or refusal.model != self.embedder.by_hand:
            return None
        return {"code": refusal.code, "why": refusal.why}

    def _news(self) -> object:
        """What the document is written anew for although nothing was switched: choices by hand, models that come to be
        available or cease to be. Numbers change all the time; they are those of the last change."""
        refused = self._by_hand_refused()
        return self._chosen, refused and refused["code"], refusals((self.detector, self.embedder))


@asynccontextmanager
async def open_models(
    settings: Settings, metrics: Metrics, manager: ModelManager | None = None, *, has_gallery: bool = True
) -> AsyncIterator[ModelLayer]:
    """The models chosen, loaded and served while the context lasts; `manager` None: the configuration's, made here.

    Raises what choosing and loading raise.
    """
    manager = manager if manager is not None else await asyncio.to_thread(make_manager, settings)
    layer = ModelLayer(settings, manager, metrics, has_gallery=has_gallery)
    try:
        async with AsyncExitStack() as stack:
            await layer.open(stack)
            yield layer
    finally:
        await asyncio.to_thread(manager.close)
