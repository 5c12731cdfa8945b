"""HTTP servers on loopback for tests: what answers goes in, base URLs come out; all of them end together."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Start = Callable[[Callable[..., BaseHTTPRequestHandler]], str]


class Quiet:
    """For handlers: no line on stderr for each request."""

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def http_servers() -> Iterator[Start]:
    """A function that starts a server for a handler, and says where it is."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(handler: Callable[..., BaseHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    try:
        yield start
    finally:
        for server, thread in servers:
            server.shutdown()
            server.server_close()
            thread.join()
