"""`cameras discover`: who answers on the local network, and what to paste for each."""

import re
from ipaddress import IPv4Address
from typing import Annotated, Any

import typer
import uvloop

from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, settings_of
from streamer.discovery.device import Device, DeviceLogin, Stream
from streamer.discovery.devices import devices_of
from streamer.discovery.proposal import add_line, with_login, without_secret, yaml_lines
from streamer.discovery.ws_discovery import search
from streamer.variables import expand_secret

_NOBODY = """no ONVIF device answered. Check
  that ONVIF is switched on in the camera (many have it off), and give it a moment after its start;
  that this machine is in the same network: the question passes no router, no VLAN and, as a rule, no guest Wi-Fi;
  that a container shares the host's network (docker run --network host);
  a firewall here: answers come by UDP from port 3702 to a port that changes;
  with several networks, --interface with this machine's address in the cameras'; and --seconds 10 for slow ones.
A camera without ONVIF is added by its URL: docs/cameras.md."""
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def register(cameras: typer.Typer) -> None:
    cameras.command(
        "discover", epilog="Example: whosthere cameras discover --user '${CAM_USER}' --password '${CAM_PASSWORD}'"
    )(discover)


def _ipv4(value: str) -> str:
    try:
        return str(IPv4Address(value))
    except ValueError:
        raise typer.BadParameter("give an IPv4 address, such as 192.0.2.5") from None


def _variable(value: str | None) -> str | None:
    """A password as an argument is in `ps` and in the shell's history."""
    if value is not None and not _VARIABLE.fullmatch(value):
        raise typer.BadParameter("name a variable that holds it, in single quotes: '${CAM_PASSWORD}'")
    return value


def discover(
    config: ConfigFile = None,
    overrides: Overrides = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="How long answers are waited for.")] = 3.0,
    interface: Annotated[
        str | None,
        typer.Option(help="This machine's address in the cameras' network.", metavar="ADDRESS", parser=_ipv4),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this device: shown, given the login. Repeatable.", metavar="ADDRESS", parser=_ipv4),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Of the cameras; ${VAR} is expanded.")] = None,
    password: Annotated[
        str | None, typer.Option(help="A variable that holds it: '${CAM_PASSWORD}'.", callback=_variable)
    ] = None,
    json: AsJson = False,
) -> None:
    """Find the cameras of the local network by ONVIF; with a login, their streams and the lines to paste."""
    if (user is None) != (password is None):
        raise typer.BadParameter("--user and --password go together")
    settings = settings_of(config, overrides)
    login = DeviceLogin(expand_secret(user), expand_secret(password)) if user and password else None
    found = uvloop.run(_found(seconds, interface, only or [], login, list(settings.cameras)))
    templates = (user or "", password or "")
    cameras = [_camera(device, stream, login, templates) for device in found for stream in device.streams[:1]]
    if json:
        print_json({"devices": [_row(device, login, templates) for device in found]})
        return
    if found:
        _print(found, login, templates, cameras)


async def _found(
    seconds: float, interface: str | None, only: list[str], login: DeviceLogin | None, taken: list[str]
) -> list[Device]:
    everybody = await search(seconds, interface)
    answered = [each for each in everybody if not only or each.address in only]
    silent = [address for address in only if all(each.address != address for each in answered)]
    if not everybody:
        note(_NOBODY)
    elif silent:
        there = ", ".join(sorted({each.address for each in everybody}))
        note(f"no device answered from {', '.join(silent)}; there are: {there}")
    return await devices_of(answered, login, taken)


def _camera(device: Device, stream: Stream, login: DeviceLogin | None, templates: tuple[str, str]) -> tuple[str, str]:
    url = without_secret(stream.url, login.password, templates[1]) if login else stream.url
    return device.camera, with_login(url, *templates)


def _row(device: Device, login: DeviceLogin | None, templates: tuple[str, str]) -> dict[str, Any]:
    told = device.announcement
    return {
        "camera": device.camera,
        "name": told.name,
        "hardware": told.hardware,
        "address": told.address,
        "device_url": told.url,
        "told_urls": list(told.urls),
        "streams": [
            {
                "profile": stream.profile,
                "codec": stream.codec,
                "width": stream.width,
                "height": stream.height,
                "url": _camera(device, stream, login, templates)[1],
            }
            for stream in device.streams
        ],
        "reason": device.reason,
    }


def _print(
    found: list[Device], login: DeviceLogin | None, templates: tuple[str, str], cameras: list[tuple[str, str]]
) -> None:
    for device in found:
        told = device.announcement
        print_line(f"{told.address:15} {told.name or '(no name)'}{f', {told.hardware}' if told.hardware else ''}")
        print_line(f"  {told.url}" + (f"   {device.reason}" if device.reason else ""))
        for stream in device.streams:
            size = f"{stream.width}x{stream.height}" if stream.width else ""
            what = " ".join(filter(None, (stream.profile, stream.codec, size)))
            print_line(f"  {what}: {_camera(device, stream, login, templates)[1]}")
    if login is None:
        print_line("\nTheir streams, with a login from the environment (or a file that CAM_PASSWORD_FILE names):")
        print_line("  whosthere cameras discover --user '${CAM_USER}' --password '${CAM_PASSWORD}'")
    elif cameras:
        print_line("\nFor whosthere.yaml:\n")
        for line in yaml_lines(cameras):
            print_line(line)
        print_line("\nor, one by one:\n")
        for name, url in cameras:
            print_line(add_line(name, url))
