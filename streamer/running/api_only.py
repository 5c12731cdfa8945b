"""`serve --api-only`: what is stateless of the API, over models alone; as many of them side by side as one likes.

No cameras, no broker, no gallery and no master key; of the data folder the tokens and what `models use` chose are read,
nothing is written and its lock is another's.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from gallery.matching.rerank import Reranker
from gallery.matching.rerank_library import make_reranker
from streamer.access.guard import Guard
from streamer.access.live_tokens import LiveTokens
from streamer.api.application import create_app
from streamer.api.certificate import Certificate
from streamer.api.inference.routers import inference_routes
from streamer.api.server import prepare_http, serve_http
from streamer.errors import ConfigInvalid
from streamer.inference.inference import Inference
from streamer.model_layer.layer import ModelLayer, open_models
from streamer.process import limit_heaps
from streamer.readiness import Part, Readiness
from streamer.running.parts import asked_parts, door_parts, models_part
from streamer.settings import Settings
from streamer.telemetry.loop_lag import measure_loop_lag
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.part_watch import PartWatch

_WATCH_S = 0.25


@dataclass(slots=True, eq=False)
class ApiService:
    """What is running."""

    settings: Settings
    metrics: Metrics
    models: ModelLayer
    reranker: Reranker
    tokens: LiveTokens
    guard: Guard
    certificate: Certificate | None
    http_port: int = 0

    def readiness(self) -> Readiness:
        """What is ready and what is not, part by part, with the reason."""
        return Readiness(self.parts(), self.models.readiness())

    def parts(self) -> tuple[Part, ...]:
        """Each of them."""
        return (
            models_part(self.models),
            *asked_parts(self.models, self.reranker),
            *door_parts(self.tokens, self.certificate),
        )


def need_http(settings: Settings) -> None:
    """Raises ConfigInvalid where it is switched off."""
    if not settings.http.enabled:
        raise ConfigInvalid("http.enabled is false, and --api-only serves HTTP alone; leave one of them out")


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[ApiService]:
    """Opened and serving until the context is left. Raises CodedErrors where it can't start.

    Of several embedders the configured one serves, or the one that `models use` chose, whatever memory and load say:
    processes behind one port answer in one space. Raises ConfigInvalid where HTTP is switched off.
    """
    need_http(settings)
    limit_heaps()
    certificate = await prepare_http(settings.http)
    settings = settings.model_copy(update={"recognition": settings.recognition.model_copy(update={"ladder": ()})})
    async with AsyncExitStack() as stack:
        service = await _opened(stack, settings, certificate)
        await _open_door(stack, service)
        async with asyncio.TaskGroup() as tasks:
            keep = _keep_up(tasks, service)
            try:
                yield service
            finally:
                for task in keep:
                    task.cancel()


async def _opened(stack: AsyncExitStack, settings: Settings, certificate: Certificate | None) -> ApiService:
    metrics = Metrics()
    metrics.broker_up.set(float("nan"))  # there is none to be away
    models = await stack.enter_async_context(open_models(settings, metrics, has_gallery=False))
    rules = settings.gallery
    reranker = await asyncio.to_thread(make_reranker, rules.rerank_threshold, rules.rerank_library)
    tokens = LiveTokens(settings.tokens_path)
    await asyncio.to_thread(tokens.look)
    return ApiService(settings, metrics, models, reranker, tokens, Guard(tokens, metrics), certificate)


async def _open_door(stack: AsyncExitStack, service: ApiService) -> None:
    http = service.settings.http
    inference = Inference.of(service.settings, service.models, service.reranker)
    service.http_port = await stack.enter_async_context(
        serve_http(
            create_app(service, inference_routes(inference, service.metrics), http),
            http.host,
            http.port,
            tls=None if service.certificate is None else service.certificate.context,
            hsts_days=http.tls.hsts_days if http.tls else 0,
            trusted_proxies=http.trusted_proxies,
            reuse_port=http.reuse_port,
            metrics=service.metrics,
        )
    )


def _keep_up(tasks: asyncio.TaskGroup, service: ApiService) -> list[asyncio.Task[None]]:
    certificate, lag_every_s = service.certificate, service.settings.metrics.loop_lag_interval_s
    return [
        tasks.create_task(service.models.run(), name="watch models"),
        tasks.create_task(service.tokens.follow(), name="tokens"),
        *([tasks.create_task(certificate.follow(), name="certificate")] if certificate else []),
        tasks.create_task(_watch(service), name="watch parts and queues"),
        tasks.create_task(measure_loop_lag(service.metrics, lag_every_s), name="loop lag"),
    ]


async def _watch(service: ApiService) -> None:
    parts = PartWatch(service.metrics)
    while True:
        parts.tell(service.parts(), None if service.certificate is None else service.certificate.until_s)
        for queue, depth in service.models.recogniser.queue_depths().items():
            service.metrics.queue_depth.labels(queue=queue).set(depth)
        await asyncio.sleep(_WATCH_S)
