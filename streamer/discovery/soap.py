"""SOAP as ONVIF devices speak it: envelopes out, answers in. Pure.

Whoever is on the network can answer: no document type is read (so no entity is expanded), depth and size have limits,
and what is shown of a text is one short line. Namespaces are left out: devices mix their versions.
"""

import base64
import hashlib
from datetime import datetime
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat
from xml.sax.saxutils import escape

MOST_BYTES = 2**20
_MOST_DEPTH = 64
_MOST_ELEMENTS = 20_000
_SHOWN = 80  # characters of a device's text
_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"


class NotSoap(Exception):
    """What came is no XML that is read here; the message says why."""


class _Reader:
    """expat's events -> elements that are named without their namespace."""

    def __init__(self) -> None:
        self._builder = TreeBuilder()
        self._depth = self._count = 0

    def read(self, data: bytes) -> Element:
        parser = expat.ParserCreate(namespace_separator="}")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._builder.data
        parser.Parse(data, True)
        return self._builder.close()

    def _doctype(self, *_: object) -> None:
        raise NotSoap("it has a document type")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > _MOST_DEPTH or self._count > _MOST_ELEMENTS:
            raise NotSoap("it is too large")
        self._builder.start(_local(name), {_local(key): value for key, value in attributes.items()})

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._builder.end(_local(name))


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def parse(data: bytes) -> Element:
    """Elements have their local names. Raises NotSoap."""
    if len(data) > MOST_BYTES:
        raise NotSoap("it is too large")
    try:
        return _Reader().read(data.lstrip())  # some begin with an empty line
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two: encodings
        raise NotSoap(f"it is no XML ({type(error).__name__})") from None


def text_of(element: Element, name: str) -> str:
    """The text of the first element of this name below; empty where there is none."""
    found = next(element.iter(name), None)
    return "" if found is None else (found.text or "").strip()


def shown(text: str) -> str:
    """A device's text as it may stand in a terminal: one line, short, nothing that moves the cursor."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def envelope(body: str, header: str = "") -> bytes:
    """SOAP 1.2; both are XML."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">'
        f"<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def username_token(user: str, password: str, created: datetime, nonce: bytes) -> str:
    """A header with the login (WS-Security UsernameToken Profile 1.0): the password leaves as a digest alone.

    created: by the device's own clock, UTC.
    """
    moment = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha1(nonce + moment.encode() + password.encode(), usedforsecurity=False).digest()
    return (
        f'<Security s:mustUnderstand="1" xmlns="{_WSS}-wssecurity-secext-1.0.xsd"><UsernameToken>'
        f"<Username>{escape(user)}</Username>"
        f'<Password Type="{_WSS}-username-token-profile-1.0#PasswordDigest">{_base64(digest)}</Password>'
        f'<Nonce EncodingType="{_WSS}-soap-message-security-1.0#Base64Binary">{_base64(nonce)}</Nonce>'
        f'<Created xmlns="{_WSS}-wssecurity-utility-1.0.xsd">{moment}</Created>'
        "</UsernameToken></Security>"
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
