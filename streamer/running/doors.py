"""HTTP and RTSP of a service that is built: opened last, so that whoever is let in meets all of it."""

from contextlib import AsyncExitStack

from streamer.api.application import create_app
from streamer.api.gallery_desk import GalleryDesk
from streamer.api.inference.routers import inference_routes
from streamer.api.rtc.whep import whep_routes
from streamer.api.rtc.whip import whip_routes
from streamer.api.server import serve_http
from streamer.api.v1.routers import api_routes
from streamer.inference.inference import Inference
from streamer.ingest.rtsp.server import RtspServer
from streamer.live_view import pages
from streamer.people.studio import Studio
from streamer.running.service import Service


async def open_doors(stack: AsyncExitStack, service: Service) -> RtspServer:
    """HTTP and RTSP: whoever looks and whoever publishes is let in from now on."""
    settings, metrics = service.settings, service.metrics
    http = settings.http
    if http.enabled:
        webrtc = settings.ingest.webrtc
        whip = whip_routes(webrtc, service.points, service.has_camera, metrics)
        whep = whep_routes(webrtc, service.live_view, metrics)
        routers = [await stack.enter_async_context(kind) for kind in (whip, whep)]
        desk = await stack.enter_async_context(GalleryDesk.open(settings))
        studio = Studio(settings, service.recogniser, service.live_gallery)
        service.inference = Inference.of(
            settings,
            service.models,
            service.live_gallery.reranker,
            lambda name: service.live_gallery.calibrated.get(name),
        )
        stateless = inference_routes(service.inference, http, metrics)
        service.http_port = await stack.enter_async_context(
            serve_http(
                create_app(service, [*routers, pages.routes(), *api_routes(desk, studio), *stateless], http),
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
