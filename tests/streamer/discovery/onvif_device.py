"""An ONVIF camera of our own, on loopback: answers by multicast, and SOAP over HTTP. No real one is at hand.

What a test says otherwise of one (its clock, its texts, whole answers) is what firmware gets wrong. Logins are held to
WS-Security and RFC 7616 by code of its own, not by the project's.
"""

import base64
import hashlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from xml.sax.saxutils import escape

from tests.http_servers import Quiet
from tests.live.login_gate import PASSWORD, USER, is_right

NONCE_WITHIN_S = 30  # of the device's clock
GROUP = "239.255.255.250"


def soap(body: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-'
        'envelope" xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:trt="http://www.onvif.org/ver10/media/wsdl"'
        ' xmlns:tt="http://www.onvif.org/ver10/schema" xmlns:ter="http://www.onvif.org/ver10/error" '
        'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" '
        'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing">'
        f"<SOAP-ENV:Body>{body}</SOAP-ENV:Body></SOAP-ENV:Envelope>"
    ).encode()


def probe_matches(
    xaddrs: str,
    *,
    endpoint: str = "urn:uuid:1",
    types: str = "dn:NetworkVideoTransmitter tds:Device",
    scopes: Sequence[str] = ("onvif://www.onvif.org/name/Front%20Door", "onvif://www.onvif.org/hardware/XY-1"),
) -> bytes:
    return soap(
        f"<d:ProbeMatches><d:ProbeMatch><a:EndpointReference><a:Address>{endpoint}</a:Address></a:EndpointReference>"
        f"<d:Types>{types}</d:Types><d:Scopes>{' '.join(scopes)}</d:Scopes><d:XAddrs>{xaddrs}</d:XAddrs>"
        "<d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches>"
    )


REFUSED = soap(
    "<SOAP-ENV:Fault><SOAP-ENV:Code><SOAP-ENV:Value>SOAP-ENV:Sender</SOAP-ENV:Value><SOAP-ENV:Subcode>"
    "<SOAP-ENV:Value>ter:NotAuthorized</SOAP-ENV:Value></SOAP-ENV:Subcode></SOAP-ENV:Code>"
    '<SOAP-ENV:Reason><SOAP-ENV:Text xml:lang="en">Sender not Authorized</SOAP-ENV:Text></SOAP-ENV:Reason>'
    "</SOAP-ENV:Fault>"
)


@dataclass
class OnvifCamera:
    """`profiles`: token -> (codec, wide, high, stream's URL). `answers`: request's name -> what comes instead."""

    profiles: dict[str, tuple[str, int, int, str]] = field(
        default_factory=lambda: {
            "sub": ("H264", 640, 360, "rtsp://10.0.0.7:554/sub"),
            "main": ("H264", 1920, 1080, "rtsp://10.0.0.7:554/main?x=1&y=2"),
        }
    )
    ahead_s: float = 0.0
    wants: str = "token"  # or "digest", the HTTP one; "nothing"
    media_url: str = "http://10.0.0.7/onvif/media_service"
    answers: dict[str, bytes | Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    logins: list[bool] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        camera = self

        class Handler(Quiet, BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                match = re.search(r"Body><(\w+)", text)
                assert match is not None
                camera.asked.append((match[1], self.path))
                special = camera.answers.get(match[1])
                if callable(special):
                    special(self)
                elif special is not None:
                    send(self, special)
                elif match[1] != "GetSystemDateAndTime" and not camera.lets_in(self, text):
                    if camera.wants == "digest":
                        challenge(self)
                    else:
                        send(self, REFUSED, 400)
                else:
                    send(self, soap(camera.answer(match[1], text)))

        return Handler

    def lets_in(self, request: BaseHTTPRequestHandler, text: str) -> bool:
        if self.wants == "nothing":
            return True
        if self.wants == "digest":
            found = request.headers.get("Authorization")
            if found is None:
                return False
            self.logins.append(found.startswith("Digest ") and is_right(found, "POST", request.path, "n"))
        else:
            self.logins.append(self._token_is_right(text))
        return self.logins[-1]

    def _token_is_right(self, text: str) -> bool:
        told = {
            name: re.search(f"<{name}(?: [^>]*)?>([^<]*)<", text)
            for name in ("Username", "Password", "Nonce", "Created")
        }
        user, password, nonce, created = (found[1] if found else "" for found in told.values())
        right = hashlib.sha1(base64.b64decode(nonce) + created.encode() + PASSWORD.encode()).digest()
        moment = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        return (
            user == escape(USER)
            and base64.b64decode(password) == right
            and abs(moment - time.time() - self.ahead_s) < NONCE_WITHIN_S
        )

    def answer(self, name: str, text: str) -> str:
        if name == "GetSystemDateAndTime":
            now = datetime.fromtimestamp(time.time() + self.ahead_s, UTC)
            return (
                "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:UTCDateTime>"
                f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute>"
                f"<tt:Second>{now.second}</tt:Second></tt:Time><tt:Date><tt:Year>{now.year}</tt:Year>"
                f"<tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day></tt:Date></tt:UTCDateTime>"
                "</tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
            )
        if name == "GetCapabilities":
            media = f"<tt:Media><tt:XAddr>{escape(self.media_url)}</tt:XAddr></tt:Media>" if self.media_url else ""
            told = f"<tds:Capabilities>{media}</tds:Capabilities>"
            return f"<tds:GetCapabilitiesResponse>{told}</tds:GetCapabilitiesResponse>"
        if name == "GetProfiles":
            return f"<trt:GetProfilesResponse>{''.join(map(self._profile, self.profiles))}</trt:GetProfilesResponse>"
        token = re.search(r"<ProfileToken>([^<]*)<", text)
        assert token is not None
        uri = escape(self.profiles[token[1]][3])
        return (
            f"<trt:GetStreamUriResponse><trt:MediaUri><tt:Uri>{uri}</tt:Uri></trt:MediaUri></trt:GetStreamUriResponse>"
        )

    def _profile(self, token: str) -> str:
        codec, wide, high, _ = self.profiles[token]
        return (
            f'<trt:Profiles token="{token}" fixed="true"><tt:Name>{token}Stream</tt:Name><tt:VideoEncoderConfiguration>'
            f"<tt:Encoding>{codec}</tt:Encoding><tt:Resolution><tt:Width>{wide}</tt:Width><tt:Height>{high}</tt:Height>"
            "</tt:Resolution></tt:VideoEncoderConfiguration></trt:Profiles>"
        )


def send(request: BaseHTTPRequestHandler, data: bytes, status: int = 200) -> None:
    request.send_response(status)
    request.send_header("Content-Type", "application/soap+xml; charset=utf-8")
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data)


def challenge(request: BaseHTTPRequestHandler) -> None:
    request.send_response(401)
    request.send_header("WWW-Authenticate", 'Digest realm="camera", nonce="n", algorithm=MD5, qop="auth"')
    request.send_header("Content-Length", "0")
    request.end_headers()


class Responder:
    """Answers each question on the group, at loopback, with these datagrams in turn; `late_s` after it came."""

    def __init__(self, port: int, answers: Sequence[bytes], late_s: float = 0.0) -> None:
        self._answers = answers
        self._late_s = late_s
        self.questions: list[bytes] = []
        self._over = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((GROUP, port))
        member = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("127.0.0.1"))
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Responder":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waking:
            waking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            waking.sendto(b"", self._socket.getsockname())
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, asker = self._socket.recvfrom(65536)
            if self._over.is_set():
                return
            if not data:
                continue
            self.questions.append(data)
            self._over.wait(self._late_s)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as answering:
                answering.bind(("127.0.0.1", 0))
                for answer in self._answers:
                    answering.sendto(answer, asker)
