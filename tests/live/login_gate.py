"""The door of an RTSP server that lets in who answers its Digest challenges, as cameras with SHA-256 do.

Requests are held to RFC 7616 by code of its own (hashlib, here), not by the project's. For tests, on loopback.
"""

import contextlib
import hashlib
import re
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
USER, PASSWORD = "ada", 'hunter2/@:x"\\'


def is_right(header: str, method: str, uri: str, nonce: str) -> bool:
    """Whether an Authorization header's value answers for this request."""
    fields = {
        key: quoted or plain for key, quoted, plain in re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', header)
    }
    hashed = HASHES[fields.get("algorithm", "MD5")]

    def h(text: str) -> str:
        return hashed(text.encode()).hexdigest()

    first, second = h(f"{USER}:camera:{PASSWORD}"), h(f"{method}:{uri}")
    middle = f"{nonce}:{fields['nc']}:{fields['cnonce']}:auth" if "qop" in fields else nonce
    expected = {"username": USER, "uri": uri, "nonce": nonce, "response": h(f"{first}:{middle}:{second}")}
    return all(fields.get(key) == value for key, value in expected.items())


def _shut(*sockets: socket.socket) -> None:
    """Wake whoever reads from them."""
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


class LoginGate:
    """In front of the server at `port`. offers: algorithms in the order in which they are named, `Basic` among them.

    After `renew_after` requests of a connection another nonce is wanted. `seen`: each request's Authorization or None.
    `methods`: of the requests that were let in.
    """

    def __init__(self, port: int, offers: Sequence[str], *, qop: bool = True, renew_after: int = 1000) -> None:
        self._server_port = port
        self._offers = offers
        self._qop = qop
        self._renew_after = renew_after
        self.seen: list[str | None] = []
        self.methods: Counter[str] = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _shut(self._listener, *self._sockets)
        for thread in self._threads:
            thread.join(10)
        for each in (self._listener, *self._sockets):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                return
            self._sockets += [client, server]
            for work, ends in ((self._requests, (client, server)), (self._pass_on, (server, client))):
                self._threads.append(threading.Thread(target=work, args=ends, daemon=True))
                self._threads[-1].start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                try:
                    target.sendall(data)
                except OSError:
                    return  # the client is gone, and its last request is on its way yet
        _shut(source, target)

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        count = 0
        stream = client.makefile("rb")
        try:
            while first := stream.read(1):
                if first == b"$":
                    head = stream.read(3)
                    server.sendall(first + head + stream.read(int.from_bytes(head[1:], "big")))
                    continue
                lines = [first + stream.readline()]
                while lines[-1] not in (b"\r\n", b""):
                    lines.append(stream.readline())
                text = b"".join(lines).decode()
                count += 1
                nonce = f"n{count // self._renew_after}"
                if not self._lets_in(text, nonce):
                    client.sendall(self._challenge(text, nonce))
                    continue
                self.methods.update([text.partition(" ")[0]])
                server.sendall(re.sub(r"Authorization:.*\r\n", "", text).encode())
        except OSError:
            pass
        finally:
            stream.close()
            _shut(client, server)

    def _lets_in(self, text: str, nonce: str) -> bool:
        method, uri = text.split(" ")[:2]
        found = re.search(r"Authorization: (.*)\r\n", text)
        self.seen.append(found and found[1])
        return found is not None and is_right(found[1], method, uri, nonce)

    def _challenge(self, text: str, nonce: str) -> bytes:
        sequence = re.search(r"CSeq: *(\d+)", text)
        assert sequence is not None
        qop = ', qop="auth"' if self._qop else ""
        offers = [
            'WWW-Authenticate: Basic realm="camera"'
            if offer == "Basic"
            else f'WWW-Authenticate: Digest realm="camera", nonce="{nonce}", algorithm={offer}{qop}'
            for offer in self._offers
        ]
        return "\r\n".join(["RTSP/1.0 401 Unauthorized", f"CSeq: {sequence[1]}", *offers, "", ""]).encode()
