"""Against a server that answers as CompreFace's documentation of its REST API states."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gallery.errors import EnrolmentListInvalid
from recognition.errors import ImageMissing, ImageUnreadable
from streamer.enrolment.compreface import open_compreface
from streamer.enrolment.people_source import open_people
from streamer.errors import FaceStoreRefused, FaceStoreUnreachable

KEY = "00000000-0000-0000-0000-000000000002"
ENVIRON = {"COMPREFACE_API_KEY": KEY}
PORTRAIT = Path(__file__).parents[3] / "model" / "faces" / "eileen_collins.jpg"


class Collection(ThreadingHTTPServer):
    """`faces`: by id, whose each is and its bytes; None: none were kept."""

    daemon_threads = True

    def __init__(self) -> None:
        self.faces: dict[str, tuple[str, bytes]] = {}
        self.most_a_page = 2
        super().__init__(("127.0.0.1", 0), _Answers)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: Collection

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if self.headers["x-api-key"] != KEY:
            self._send(401, b'{"message": "no such key", "code": 43}')
        elif url.path == "/api/v1/recognition/faces":
            query = parse_qs(url.query)
            page, size = int(query["page"][0]), min(int(query["size"][0]), self.server.most_a_page)
            faces = [{"image_id": one, "subject": whose} for one, (whose, _) in self.server.faces.items()]
            told = {"faces": faces[page * size :][:size], "page_number": page, "total_pages": -(-len(faces) // size)}
            self._send(200, json.dumps(told).encode())
        elif url.path.endswith("/img") and (face := self.server.faces.get(url.path.split("/")[-2])):
            self._send(200, face[1])
        else:
            self._send(404, b"")

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collection() -> Iterator[Collection]:
    with Collection() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_its_people_and_photos_of_all_pages_are_there(collection: Collection) -> None:
    data = PORTRAIT.read_bytes()
    collection.faces = {"1": ("Ada", data), "2": ("Bob/../x", data), "3": ("Ada", b""), "4": ("Eve", data)}
    with open_compreface(collection.address + "/", ENVIRON) as listing:
        assert {one.who.name: len(one.photos) for one in listing.sitters} == {"Ada": 2, "Bob/../x": 1, "Eve": 1}
        assert listing.program == "CompreFace"
        photos = [photo for one in listing.sitters for photo in one.photos]
        assert listing.read(photos[0]).decode().width > 0
        with pytest.raises(ImageMissing, match="kept no picture"):
            listing.read(photos[1])
        collection.faces.pop("4")
        with pytest.raises(ImageUnreadable, match="answers 404"):
            listing.read(photos[3])


def test_two_subjects_of_one_name_are_neither(collection: Collection) -> None:
    collection.faces = {"1": ("ada", b"x"), "2": ("Ada", b"x"), "3": ("Bob", b"x")}
    with open_compreface(collection.address, ENVIRON) as listing:
        assert [one.who.name for one in listing.sitters] == ["Bob"]
        assert len(listing.alike) == 2


def test_what_is_wrong_is_said_and_the_key_is_not(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnrolmentListInvalid, match="no faces"), open_compreface(collection.address, ENVIRON):
        pass
    wrong = {"COMPREFACE_API_KEY": "wrong-key"}
    with pytest.raises(FaceStoreRefused, match="refuses the API key") as refused:
        open_compreface(collection.address, wrong).__enter__()
    assert "wrong-key" not in str(refused.value)
    monkeypatch.delenv("COMPREFACE_API_KEY", raising=False)
    with pytest.raises(FaceStoreRefused, match="COMPREFACE_API_KEY is not set"), open_people(collection.address):
        pass


def test_one_that_is_away(collection: Collection) -> None:
    address = collection.address
    collection.server_close()
    with pytest.raises(FaceStoreUnreachable, match="can't be reached"), open_compreface(address, ENVIRON):
        pass
