"""A CompreFace's face collection as people to be enrolled: its address in, who they are and their photos out.

Blocks for its answers; photos are read on any thread. By the REST API that its documentation of 1.2 states
(docs/Rest-API-description.md there); its key comes from the environment.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from gallery.enrolment.enrol import Sitter
from gallery.enrolment.listing import Listing, apart
from gallery.enrolment.photo_reading import Photo, Read, of_bytes
from gallery.errors import EnrolmentListInvalid
from gallery.people import Profile
from recognition.errors import ImageMissing, ImageTooLarge, ImageUnreadable
from recognition.image import MAX_BYTES
from streamer.errors import FaceStoreRefused, FaceStoreUnreachable
from streamer.variables import Unset, variable

KEY = "COMPREFACE_API_KEY"
_ANSWER_WITHIN_S = 20.0
_A_PAGE = 500
_MOST = 500_000
_REFUSED = frozenset({401, 403})


def is_address(source: str) -> bool:
    """Whether it can't be a path."""
    return source.lower().startswith(("http://", "https://"))


@contextmanager
def open_compreface(address: str, environ: Mapping[str, str] | None = None) -> Iterator[Listing]:
    """`address`: http(s)://HOST:PORT. Raises FaceStoreUnreachable, FaceStoreRefused and EnrolmentListInvalid."""
    parts = urlsplit(address)
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    try:
        key = variable(KEY, environ)
    except Unset as unset:
        raise FaceStoreRefused(
            f"{where} wants the API key of its recognition service: {unset} (CompreFace shows it under Services)"
        ) from None
    with httpx.Client(base_url=where, headers={"x-api-key": key}, timeout=_ANSWER_WITHIN_S) as client:
        store = _CompreFace(client, where)
        photos = store.photos()
        if not photos:
            raise EnrolmentListInvalid(f"{where} has no faces in this service; is it the key of the right one?")
        people: dict[str, list[Path]] = {}
        for photo, (subject, _) in photos.items():
            people.setdefault(subject, []).append(photo)
        sitters = tuple(Sitter(Profile(subject), tuple(found)) for subject, found in people.items())
        yield apart(Listing(sitters, store.reader(photos), program="CompreFace"))


class _CompreFace:
    def __init__(self, client: httpx.Client, where: str) -> None:
        self._client = client
        self._where = where

    def photos(self) -> dict[Path, tuple[str, str]]:
        """Whose each is and its id, by what it is called."""
        found: dict[Path, tuple[str, str]] = {}
        page, pages = 0, 1
        while page < pages and len(found) < _MOST:
            answer = self._page(page)
            for face in answer["faces"]:
                subject, face_id = str(face["subject"]), str(face["image_id"])
                found[Path(self._where.partition("://")[2], subject.replace("/", "_"), face_id)] = subject, face_id
            page, pages = page + 1, int(answer["total_pages"])
        return found

    def _page(self, page: int) -> dict[str, Any]:
        answer = self._get("/api/v1/recognition/faces", {"page": page, "size": _A_PAGE})
        try:
            told = answer.json()
            for face in told["faces"]:
                face["subject"], face["image_id"]
            int(told["total_pages"])
        except (ValueError, KeyError, TypeError):
            raise FaceStoreRefused(
                f"{self._where} answers, and not as CompreFace 1.x does; give the address that its page is opened by"
            ) from None
        return dict(told)

    def reader(self, photos: Mapping[Path, tuple[str, str]]) -> Read:
        def read(path: Path) -> Photo:
            face_id = quote(photos[path][1], safe="")
            data = self._get(f"/api/v1/recognition/faces/{face_id}/img", {}).content
            if not data:
                raise ImageMissing(
                    f"{path}: CompreFace kept no picture of it (save_images_to_db=false); give a photo of the person"
                )
            if len(data) > MAX_BYTES:
                raise ImageTooLarge(f"{path} has {len(data) >> 20} MiB, more than {MAX_BYTES >> 20}; make it smaller")
            return of_bytes(data, path)

        def told(path: Path) -> Photo:
            try:
                return read(path)
            except (FaceStoreRefused, FaceStoreUnreachable) as error:
                raise ImageUnreadable(f"{path}: {error}") from None

        return told

    def _get(self, path: str, query: Mapping[str, int]) -> httpx.Response:
        try:
            answer = self._client.get(path, params=dict(query))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise FaceStoreUnreachable(f"{self._where} can't be reached ({why}); check address and port") from None
        if answer.status_code in _REFUSED:
            raise FaceStoreRefused(f"{self._where} refuses the API key in {KEY}; give that of its recognition service")
        if answer.status_code != httpx.codes.OK:
            raise FaceStoreRefused(f"{self._where} answers {answer.status_code} for {path}; is it a CompreFace 1.x?")
        return answer
