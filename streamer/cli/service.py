"""`serve` runs the service until it is told to stop; `check` validates everything that it would need."""

import asyncio
import gc
import logging
import shlex
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
import uvloop

from streamer.cli.options import AsJson, ConfigFile, Overrides, print_finding, print_json, settings_of
from streamer.process import Terminal, give_back
from streamer.running.systemd import told_systemd
from streamer.settings import Settings
from streamer.settings_reading import read_layers
from streamer.telemetry.logs import LogFormat, setup_logging

if TYPE_CHECKING:
    from streamer.app import Configured
    from streamer.pipeline.camera_control import CameraControl
    from streamer.running.api_only import ApiService
    from streamer.running.service import Service

log = logging.getLogger(__name__)


ApiOnly = Annotated[
    bool,
    typer.Option("--api-only", help="The stateless API over the models alone: no cameras, broker, gallery or lock."),
]


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: whosthere serve --config whosthere.yaml --log-format json;   "
        "whosthere serve --api-only --reuse-port"
    )(serve)
    app.command(epilog="Example: whosthere check --config whosthere.yaml")(check)


def serve(
    config: ConfigFile = None,
    overrides: Overrides = None,
    log_format: Annotated[
        LogFormat | None, typer.Option("--log-format", help="auto: text on a terminal, JSON elsewhere.")
    ] = None,
    api_only: ApiOnly = False,
    reuse_port: Annotated[
        bool, typer.Option("--reuse-port", help="With --api-only: listen beside others on the same port.")
    ] = False,
) -> None:
    """Watch the configured cameras and publish who is there, until Ctrl-C or SIGTERM; SIGHUP reloads.

    With --api-only: embeddings, re-ranking and face recognition over HTTP alone.
    """
    if reuse_port and not api_only:
        raise typer.BadParameter("goes with --api-only: a service with cameras has its port for itself")
    from streamer.app import Configured  # all of HTTP and MQTT, which --help does without

    above = [*(overrides or ()), *([f"service.log_format={log_format}"] if log_format else [])]
    above += ["http.reuse_port=true"] if reuse_port else []
    layers = read_layers(config, above, uses_broker=not api_only)
    settings = layers.settings({} if api_only else layers.changes())
    setup_logging(settings.service.log_level, settings.service.log_format)
    # Of --set what leads to the data folder alone: others may be secret.
    to_data = [word for one in overrides or () if one.startswith("paths.") for word in ("--set", one)]
    to_config = [] if config is None else ["--config", str(config)]
    make_token = shlex.join(["whosthere", "tokens", "make", "me", "--role", "admin", *to_config, *to_data])
    if api_only:
        uvloop.run(_serve_api(settings, make_token))
    else:
        uvloop.run(_serve(settings, Configured(layers, lambda: layers.again(above)), make_token))


async def _serve(settings: Settings, configured: "Configured", make_token: str) -> None:
    """make_token: the command for somebody who has none."""
    from streamer.app import running_service  # as above

    stop, terminal = asyncio.Event(), Terminal()
    control: CameraControl | None = None
    was_asked = False  # before there was anything to reload

    def hung_up() -> None:
        nonlocal was_asked
        if terminal.is_gone:
            stop.set()
        elif control is not None:
            control.reload()
        else:
            was_asked = True

    _on_signals(stop.set, hung_up)
    async with running_service(settings, configured=configured) as service:
        control = service.control
        if was_asked:
            hung_up()
        cameras = ", ".join(camera.name for camera in service.cameras) or "none (add some under `cameras:`)"
        if settings.http.enabled:
            _tell_of_http(service, make_token)
        log.info("running; cameras: %s", cameras)
        _settle()
        async with told_systemd(f"running, {len(service.cameras)} cameras"):
            await stop.wait()
        log.info("stopping")


async def _serve_api(settings: Settings, make_token: str) -> None:
    """make_token: as above."""
    from streamer.running.api_only import running_api

    stop, terminal = asyncio.Event(), Terminal()

    def hung_up() -> None:
        if terminal.is_gone:
            stop.set()
        else:
            log.info("SIGHUP: the API alone has nothing to reload; restart it for another configuration")

    _on_signals(stop.set, hung_up)
    async with running_api(settings) as service:
        _tell_of_http(service, make_token)
        log.info("running; the API alone")
        _settle()
        async with told_systemd("running, the API alone"):
            await stop.wait()
        log.info("stopping")


def _settle() -> None:
    """The start's leavings go. What is there stays: looking through it again and again would hold up the loop."""
    gc.collect()
    gc.freeze()
    give_back()


def _on_signals(stop: Callable[[], None], hung_up: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number, handle in ((signal.SIGINT, stop), (signal.SIGTERM, stop), (signal.SIGHUP, hung_up)):
        loop.add_signal_handler(number, handle)


def _tell_of_http(service: "Service | ApiService", make_token: str) -> None:
    http = service.settings.http
    host = f"[{http.host}]" if ":" in http.host else http.host
    address = f"{'https' if http.tls else 'http'}://{host}:{service.http_port}"
    log.info("listening on %s", address, extra={"http": address})
    if not len(service.tokens) and not service.tokens.trouble:
        log.warning("HTTP lets nobody in yet; make a token: %s", make_token)


def check(
    config: ConfigFile = None, overrides: Overrides = None, api_only: ApiOnly = False, json: AsJson = False
) -> None:
    """Check the configuration, models, gallery, cameras and broker, and say what is wrong with each."""
    from streamer.checks import check_api, check_everything  # as above

    if api_only:
        settings = read_layers(config, overrides or (), uses_broker=False).settings({})
        setup_logging("warning", settings.service.log_format)
    else:
        settings = settings_of(config, overrides, log_level="warning")
    findings = uvloop.run((check_api if api_only else check_everything)(settings))
    failed = [finding for finding in findings if not finding.ok]
    if json:
        rows = [{"part": f.part, "ok": f.ok, "code": f.code, "detail": f.detail} for f in findings]
        print_json({"ok": not failed, "checks": rows})
    else:
        for finding in findings:
            mark = "ok    " if finding.ok else "FAILED"
            print_finding(mark, f"{finding.part}: {finding.detail}" + (f" [{finding.code}]" if finding.code else ""))
    if failed:
        sys.stderr.write(f"whosthere: {len(failed)} of {len(findings)} checks failed [{failed[0].code}]\n")
        raise typer.Exit(1)
