"""A device that was found, and what it tells of its streams. Data alone."""

from dataclasses import dataclass, field

from streamer.discovery.ws_discovery import Announcement


class NotAnswered(Exception):
    """What the device did instead, in words, and what to do."""


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stream:
    """One profile. url: without a login, at the address that answered; nothing in it is expanded by a shell or by us.

    codec, width and height (px) as the device says; empty and 0 where it doesn't.
    """

    profile: str
    url: str = field(repr=False)
    codec: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Device:
    """One that answered. streams: the largest first; reason: why there are none, in words, None where nobody asked."""

    camera: str
    announcement: Announcement
    streams: tuple[Stream, ...] = ()
    reason: str | None = None
