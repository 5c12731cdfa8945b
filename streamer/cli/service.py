"""`serve` runs the service until it is told to stop; `check` validates everything that it would need."""

import asyncio
import logging
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer
import uvloop

from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json, print_line, settings_of
from streamer.process import Terminal
from streamer.settings import Settings
from streamer.settings_reading import read_layers
from streamer.telemetry.logs import LogFormat, setup_logging

if TYPE_CHECKING:
    from streamer.app import Configured
    from streamer.pipeline.camera_control import CameraControl

log = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: whosthere serve --config whosthere.yaml --log-format json")(serve)
    app.command(epilog="Example: whosthere check --config whosthere.yaml")(check)


def serve(
    config: ConfigFile = None,
    overrides: Overrides = None,
    log_format: Annotated[
        LogFormat | None, typer.Option("--log-format", help="auto: text on a terminal, JSON elsewhere.")
    ] = None,
) -> None:
    """Watch the configured cameras and publish who is there, until Ctrl-C or SIGTERM; SIGHUP reloads."""
    from streamer.app import Configured  # all of HTTP and MQTT, which the other commands do without

    above = [*(overrides or ()), *([f"service.log_format={log_format}"] if log_format else [])]
    layers = read_layers(config, above)
    settings = layers.settings(layers.changes())
    setup_logging(settings.service.log_level, settings.service.log_format)
    # Of --set what leads to the data folder alone: others may be secret.
    to_data = [word for one in overrides or () if one.startswith("paths.") for word in ("--set", one)]
    to_config = [] if config is None else ["--config", str(config)]
    make_token = shlex.join(["whosthere", "tokens", "make", "me", "--role", "admin", *to_config, *to_data])
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

    loop = asyncio.get_running_loop()
    for number, handle in ((signal.SIGINT, stop.set), (signal.SIGTERM, stop.set), (signal.SIGHUP, hung_up)):
        loop.add_signal_handler(number, handle)
    async with running_service(settings, configured=configured) as service:
        control = service.control
        if was_asked:
            hung_up()
        cameras = ", ".join(camera.name for camera in service.cameras) or "none (add some under `cameras:`)"
        if settings.http.enabled:
            host = f"[{settings.http.host}]" if ":" in settings.http.host else settings.http.host
            address = f"{'https' if settings.http.tls else 'http'}://{host}:{service.http_port}"
            log.info("listening on %s", address, extra={"http": address})
            if not len(service.tokens) and not service.tokens.trouble:
                log.warning("HTTP lets nobody in yet; make a token: %s", make_token)
        log.info("running; cameras: %s", cameras)
        await stop.wait()
        log.info("stopping")


def check(config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Check the configuration, models, gallery, cameras and broker, and say what is wrong with each."""
    from streamer.checks import check_everything  # as above

    settings = settings_of(config, overrides, log_level="warning")
    findings = uvloop.run(check_everything(settings))
    failed = [finding for finding in findings if not finding.ok]
    if json:
        rows = [{"part": f.part, "ok": f.ok, "code": f.code, "detail": f.detail} for f in findings]
        print_json({"ok": not failed, "checks": rows})
    else:
        for finding in findings:
            mark = "ok    " if finding.ok else "FAILED"
            print_line(f"{mark} {finding.part}: {finding.detail}" + (f" [{finding.code}]" if finding.code else ""))
    if failed:
        sys.stderr.write(f"whosthere: {len(failed)} of {len(findings)} checks failed [{failed[0].code}]\n")
        raise typer.Exit(1)
