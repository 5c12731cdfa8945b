"""HTTP and RTSP of a service that is built: opened last, so that whoever is let in meets all of it."""

from contextlib import AsyncExitStack

from fastapi import APIRouter

from streamer.api.application import create_app
from streamer.api.gallery_desk import GalleryDesk
from streamer.api.inference.routers import inference_routes
from streamer.api.rtc.whep import whep_routes
from streamer.api.rtc.whip import whip_routes
from streamer.api.server import serve_http
from streamer.api.streaming.streams import Streams
from streamer.api.v1 import camera_pictures, session
from streamer.api.v1.routers import api_routes, event_routes, review_routes, view_routes
from streamer.api.v1.system.routers import system_routes
from streamer.cameras.desk import CameraDesk
from streamer.inference.inference import Inference
from streamer.ingest.rtsp.server import RtspServer
from streamer.kept_visits.reader import VisitReader
from streamer.live_view import pages
from streamer.people.studio import Studio
from streamer.process import key_source
from streamer.review.desk import ReviewDesk
from streamer.running.service import Service
from streamer.web import pages as web_pages


async def open_doors(stack: AsyncExitStack, service: Service) -> RtspServer:
    """HTTP and RTSP: whoever looks and whoever publishes is let in from now on."""
    settings, metrics = service.settings, service.metrics
    http = settings.http
    if http.enabled:
        service.http_port = await stack.enter_async_context(
            serve_http(
                create_app(service, await _routers(stack, service), http, service.answers),
                http.host,
                http.port,
                tls=None if service.certificate is None else service.certificate.context,
                hsts_days=http.tls.hsts_days if http.tls else 0,
                trusted_proxies=http.trusted_proxies,
                metrics=metrics,
            )
        )
    service.rtsp = await stack.enter_async_context(RtspServer(settings.ingest.rtsp, service.points, metrics))
    return service.rtsp


async def _routers(stack: AsyncExitStack, service: Service) -> list[APIRouter]:
    """In the order in which /docs shows them."""
    settings, metrics, gallery = service.settings, service.metrics, service.live_gallery
    webrtc = settings.ingest.webrtc
    whip = await stack.enter_async_context(whip_routes(webrtc, service.points, service.has_camera, metrics))
    whep = await stack.enter_async_context(whep_routes(webrtc, service.live_view, metrics))
    desk = service.desk = await stack.enter_async_context(GalleryDesk.open(settings))
    studio = Studio(settings, service.recogniser, gallery)
    reader = await stack.enter_async_context(VisitReader.open(settings.visits_path, key_source(settings)))
    review = service.review = await stack.enter_async_context(
        ReviewDesk.open(settings, service.recogniser.manager, gallery)
    )
    streams = Streams(service.guard, metrics)
    service.inference = Inference.of(
        settings,
        service.models,
        gallery.reranker,
        lambda name: gallery.calibrated.get(name),  # another mapping after each change
    )
    return [
        *(whip, whep, web_pages.routes(), pages.routes(), session.routes(service.guard)),
        *api_routes(desk, studio),
        *event_routes(desk, reader, gallery.name_now_of, streams, service.live_events),
        *review_routes(desk, studio, review, service.live_events, gallery.name_now_of),
        *view_routes(service.live_view, streams, camera_pictures.streams(service.guard, metrics, settings.http)),
        *inference_routes(service.inference, metrics),
        *system_routes(service, settings, CameraDesk(service), desk, service.inference.chooser),
    ]
