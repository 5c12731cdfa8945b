"""An HTTP server for weights on loopback, with trouble that a test scripts: no Range, a cable pulled, another file."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Trouble:
    """How one file is served. `cuts`: after how many bytes each connection breaks, one after the other."""

    data: bytes
    etag: str | None = '"one"'
    ranges: bool = True
    status: int = 200
    redirect: str | None = None
    cuts: list[int] = field(default_factory=list)
    hold_at: int | None = None
    tell_length: bool = True


@dataclass
class WeightsServer:
    """`asked` has each request's path and Range; `holding` is set while a connection is held in mid-file."""

    url: str
    files: dict[str, Trouble] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    holding: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def serve(self, name: str, data: bytes, **trouble: object) -> str:
        self.files[name] = Trouble(data, **trouble)
        return f"{self.url}/{name}"


@contextmanager
def weights_server() -> Iterator[WeightsServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            served.asked.append((self.path, wanted))
            trouble = served.files.get(self.path.lstrip("/"))
            if trouble is None or trouble.status != 200:
                return self._empty(404 if trouble is None else trouble.status)
            if trouble.redirect:
                return self._empty(302, Location=trouble.redirect)
            start, whole = 0, len(trouble.data)
            if wanted and trouble.ranges and self.headers.get("If-Range") == trouble.etag:
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
                if start >= whole:
                    return self._empty(416, **{"Content-Range": f"bytes */{whole}"})
            return self._send(trouble, start)

        def _empty(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send(self, trouble: Trouble, start: int) -> None:
            whole = len(trouble.data)
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            if trouble.tell_length:
                self.send_header("Content-Length", str(whole - start))
            if trouble.etag:
                self.send_header("ETag", trouble.etag)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            end = min(start + trouble.cuts.pop(0), whole) if trouble.cuts else whole
            if trouble.hold_at is not None and start < trouble.hold_at:
                self.wfile.write(trouble.data[start : trouble.hold_at])
                served.holding.set()
                served.release.wait(30)
                start = trouble.hold_at
            self.wfile.write(trouble.data[start:end])

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = WeightsServer(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield served
        finally:
            served.release.set()
            server.shutdown()
            thread.join()
