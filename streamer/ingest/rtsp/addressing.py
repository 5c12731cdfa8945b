"""What a request is about: the camera and the track in its URL, the transport that it asks for. Pure.

URLs are as publishers make them: the control after the query, before it, or after two slashes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from streamer.ingest.rtsp.messages import Refused


@dataclass(frozen=True, slots=True)
class Asked:
    """A transport: interleaved channels (None: any), or the publisher's UDP ports, each for RTP and RTCP."""

    is_udp: bool
    channels: tuple[int, int] | None = None
    ports: tuple[int, int] | None = None


def path_of(url: str) -> tuple[str, ...]:
    """The parts of its path; the first is the camera. Raises Refused(400)."""
    try:
        return tuple(unquote(part) for part in urlsplit(url).path.split("/") if part)
    except ValueError:
        raise Refused(400, "a URL that is none") from None


def track_of(url: str, controls: Sequence[str]) -> int:
    """Which of the announced tracks, by the end of the URL of a SETUP. Raises Refused(404)."""
    plain = url.partition("?")[0]
    found = [
        (len(control), number)
        for number, control in enumerate(controls)
        if control and (url == control or url.endswith(f"/{control}") or plain.endswith(f"/{control}"))
    ]
    if found:
        return max(found)[1]
    if len(controls) == 1 and controls[0] in ("", "*"):
        return 0
    raise Refused(404, "no such track")


def transport_of(header: str) -> Asked:
    """The first that is known here, of those that a Transport header lists (RFC 2326, 12.39). Raises Refused(461)."""
    for offer in header.split(","):
        kind, *parts = (part.strip() for part in offer.split(";"))
        values = {name.strip().lower(): value.strip() for name, _, value in (part.partition("=") for part in parts)}
        if values.get("mode", "record").strip('"').lower() not in ("record", "receive") or "multicast" in values:
            continue
        if kind.upper() == "RTP/AVP/TCP":
            channels = _pair(values.get("interleaved"), 0, 255)
            if channels is not None or "interleaved" not in values:
                return Asked(is_udp=False, channels=channels)
        if kind.upper() in ("RTP/AVP", "RTP/AVP/UDP"):
            ports = _pair(values.get("client_port"), 1, 65535)
            if ports is not None:
                return Asked(is_udp=True, ports=ports)
    raise Refused(461)


def _pair(value: str | None, least: int, most: int) -> tuple[int, int] | None:
    """`4-5`, or `4`, which means the same."""
    first, dash, second = (value or "").partition("-")
    if not (first.isascii() and first.isdigit() and len(first) <= 5) or (dash and not second.isdecimal()):
        return None
    pair = (int(first), int(second[:6]) if dash else int(first) + 1)
    return pair if pair[0] != pair[1] and all(least <= number <= most for number in pair) else None
