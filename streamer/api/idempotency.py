"""Writes that may be sent again: by `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) the first answer is
repeated.

ASGI middleware behind Closed and the limits of bodies, on the loop. Bodies are hashed as they pass and held nowhere;
answers are held in memory, few and small ones, for a day, those that tell of somebody until that one is forgotten.
"""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamer.access.guard import caller_of
from streamer.api import problems
from streamer.api.errors import IdempotencyKeyBusy, IdempotencyKeyInvalid, IdempotencyKeyReused
from streamer.api.problem_answers import add_problems

HEADER = "Idempotency-Key"
METHODS = ("POST", "PATCH", "DELETE")
DAY_S = 86_400.0
MOST_ANSWERS = 10_000
MOST_BYTES = 16 << 20
LARGEST_ANSWER = 256 << 10
LONGEST_KEY = 255

# They change nothing (but for a browser's session, which is secret), and what they answer of faces is not kept.
CHANGE_NOTHING = (
    "/api/v1/session",
    "/api/v1/embeddings",
    "/api/v1/rerank",
    "/api/v1/identify",
    "/api/v1/face-recognition/extract-embedding",
    "/api/v1/face-recognition/compare-faces",
    "/api/v1/face-recognition/match-face",
)
# Its answer has ids alone, which are kept of the forgotten anyway; without it the second time nobody would be found.
_ERASURE = re.compile(r"/api/v1/people/[^/]+")
# What may be otherwise the next time though nothing was changed here.
_PASSING = frozenset({408, 413, 425, 429})


@dataclass(slots=True)
class _Answer:
    """One answer, under way until `messages` are all; told_at: on the monotonic clock, in s.

    forgotten: the ids of who was forgotten meanwhile.
    """

    fingerprint: bytes = b""
    messages: list[Message] = field(default_factory=list)
    size: int = 0
    is_whole: bool = False
    told_at: float = 0.0
    is_erasure: bool = False
    forgotten: set[bytes] = field(default_factory=set)

    def tells_of(self, ids: Collection[bytes]) -> bool:
        """Whether it holds more of one of them than that they were forgotten."""
        if not ids or (self.is_erasure and self.messages[0]["status"] == 200):
            return False
        text = b"".join(message.get("body", b"") for message in self.messages)
        return any(one in text for one in ids)


class FirstAnswers:
    """The answers that are held, the oldest first, by whose and for what they are."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: OrderedDict[bytes, _Answer] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def find(self, place: bytes) -> _Answer | None:
        found = self._held.get(place)
        if found is not None and found.is_whole and found.told_at + DAY_S <= self._clock():
            self.drop(place)
            return None
        return found

    def begin(self, place: bytes, *, is_erasure: bool) -> _Answer:
        answer = self._held[place] = _Answer(is_erasure=is_erasure)
        return answer

    def keep(self, place: bytes, answer: _Answer, fingerprint: bytes) -> None:
        """From now on it is repeated; the oldest make room."""
        answer.fingerprint, answer.is_whole, answer.told_at = fingerprint, True, self._clock()
        self._bytes += answer.size
        self._held.move_to_end(place)
        while (oldest := next(each for each, held in self._held.items() if held.is_whole)) != place:
            is_over = self._held[oldest].told_at + DAY_S <= answer.told_at
            if not is_over and len(self._held) <= MOST_ANSWERS and self._bytes <= MOST_BYTES:
                break
            self.drop(oldest)

    def drop(self, place: bytes) -> None:
        gone = self._held.pop(place, None)
        if gone is not None and gone.is_whole:
            self._bytes -= gone.size

    def forget(self, person_ids: Collection[str]) -> None:
        """Of who is forgotten no answer is held, nor will be one that is under way."""
        ids = [one.encode() for one in person_ids]
        for place, answer in list(self._held.items()):
            if not answer.is_whole:
                answer.forgotten.update(ids)
            elif answer.tells_of(ids):
                self.drop(place)


class Idempotent:
    def __init__(self, app: ASGIApp, answers: FirstAnswers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = None
        try:
            if scope["type"] == "http" and scope["method"] in METHODS and scope["path"] not in CHANGE_NOTHING:
                place = _place_of(scope)
        except IdempotencyKeyInvalid as error:
            await problems.of(error)(scope, receive, send)
            return
        if place is None:
            await self._app(scope, receive, send)
        elif (first := self._answers.find(place)) is None:
            await self._first(place, scope, receive, send)
        else:
            await _repeat(first, scope, receive, send)

    async def _first(self, place: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        is_erasure = scope["method"] == "DELETE" and _ERASURE.fullmatch(scope["path"]) is not None
        answer = self._answers.begin(place, is_erasure=is_erasure)
        body = _Body(scope, receive)

        async def send_kept(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 300:
                await body.rest()  # it was done, whatever of its body it did not look at
            if answer.size <= LARGEST_ANSWER:
                answer.messages.append(message)
                answer.size += len(message.get("body", b"")) + 1
            is_told = message["type"] == "http.response.body" and not message.get("more_body", False)
            if is_told and body.is_whole and _is_to_be_kept(answer):
                self._answers.keep(place, answer, body.fingerprint())
            await send(message)

        try:
            await self._app(scope, body.receive, send_kept)
        finally:
            if not answer.is_whole:
                self._answers.drop(place)


async def _repeat(first: _Answer, scope: Scope, receive: Receive, send: Send) -> None:
    if not first.is_whole:
        busy = IdempotencyKeyBusy("the first request with this Idempotency-Key is under way; ask again for its answer")
        await problems.of(busy)(scope, receive, send)
        return
    body = _Body(scope, receive)
    await body.rest()
    if not body.is_whole:  # its client is gone, or it was refused
        return
    if body.fingerprint() != first.fingerprint:
        reused = IdempotencyKeyReused("another request had this Idempotency-Key before; give each a key of its own")
        await problems.of(reused)(scope, receive, send)
        return
    for message in first.messages:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"idempotency-replayed", b"true")]}
        await send(message)


class _Body:
    """A request's body, as it passes; a form that is sent again has another boundary, and is the same."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = Headers(scope=scope)
        kind, _, more = headers.get("content-type", "").partition(";")
        self._receive = receive
        self._hash = hashlib.sha256(kind.strip().lower().encode() + b"\n" + scope["query_string"] + b"\n")
        self._boundary = _boundary_in(more) if kind.strip().lower().startswith("multipart/") else b""
        self._held_back = b""
        self.is_whole = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not self.is_whole:
            self._pass(message.get("body", b""))
            self.is_whole = not message.get("more_body", False)
        return message

    async def rest(self) -> None:
        """What nobody has asked for yet."""
        while not self.is_whole:
            if (await self.receive())["type"] != "http.request":
                return

    def fingerprint(self) -> bytes:
        whole = self._hash.copy()
        whole.update(self._held_back)
        return whole.digest()

    def _pass(self, data: bytes) -> None:
        if not self._boundary:
            self._hash.update(data)
            return
        *parts, last = (self._held_back + data).split(self._boundary)
        for part in parts:
            self._hash.update(part + b"\0boundary\0")
        cut = max(0, len(last) - len(self._boundary) + 1)  # a boundary may go on in what comes next
        self._hash.update(last[:cut])
        self._held_back = last[cut:]


def with_idempotency(document: dict[str, Any]) -> dict[str, Any]:
    """The same OpenAPI document, in which writes tell of the key."""
    about = "sent again with the same key, a request is answered as the first time, and nothing is done twice"
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY}
    parameter = {"name": HEADER, "in": "header", "required": False, "description": about, "schema": schema}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method.upper() in METHODS and path not in CHANGE_NOTHING:
                operation.setdefault("parameters", []).append(parameter)
                add_problems(operation, IdempotencyKeyInvalid, IdempotencyKeyBusy, IdempotencyKeyReused)
    return document


def _place_of(scope: Scope) -> bytes | None:
    """Whose answer, to what; None where no key is given, or by no token. Raises IdempotencyKeyInvalid."""
    given = Headers(scope=scope).getlist(HEADER)
    token = caller_of(scope).token
    if not given or token is None:
        return None
    key = given[0].strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(given) > 1 or not 0 < len(key) <= LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise IdempotencyKeyInvalid(f"an Idempotency-Key is one text of 1 to {LONGEST_KEY} printable ASCII letters")
    parts = (token.digest, scope["method"], scope["path"], key)
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).digest()


def _is_to_be_kept(answer: _Answer) -> bool:
    if answer.size > LARGEST_ANSWER:
        return False
    status = int(answer.messages[0]["status"])
    return status < 500 and status not in _PASSING and not answer.tells_of(answer.forgotten)


def _boundary_in(parameters: str) -> bytes:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "boundary":
            return value.strip().strip('"').encode("latin-1", "replace")
    return b""
