"""What schemathesis sends beside what it makes up: real pictures, ids that there are, embeddings of the right length.

Loaded by schemathesis (SCHEMATHESIS_HOOKS); tells what it sent to the file FUZZ_SENT at the end.
"""

import atexit
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.transport.serialization import Binary

PICTURES = [Path(name).read_bytes() for name in json.loads(os.environ["FUZZ_PICTURES"])]
THERE: dict[str, list[Any]] = json.loads(os.environ["FUZZ_THERE"])  # by the name of a parameter or a key
NUMBERS = [0.1, -0.1] * 256  # as many as every embedder has
EMBEDDINGS: list[Any] = [
    *(NUMBERS, NUMBERS[:511], [*NUMBERS, 0.1], [0.0] * 512, [1e308] * 512, [1e-300] * 512),
    *([True] * 512, [None] * 512, [[0.1]] * 512, [0.1] * 1024),
]
SDP_LINES = [
    *("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0", "m=video 9 UDP/TLS/RTP/SAVPF 96"),
    *(
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=sendonly",
        "a=recvonly",
        "a=rtcp-mux",
        "a=rtpmap:96 VP8/90000",
        "a=setup:actpass",
    ),
    *("a=ice-ufrag:abcd", "a=ice-pwd:" + 22 * "x", "a=candidate:1 1 udp 1 127.0.0.1 9 typ host", "a=end-of-candidates"),
    "a=fingerprint:sha-256 " + ":".join(["AA"] * 32),
]
OF_EMBEDDINGS = {"probe", "embedding", "embedding1", "embedding2", "query_embedding"}
SPARE: dict[Any, str] = json.loads(os.environ["FUZZ_SPARE"])  # what may be changed, for what is there at first
OF_FILES = {"file", "image"}
OF_LISTS = {"candidates", "gallery_embeddings"}

sent: Counter[str] = Counter()

files = st.one_of(
    st.sampled_from(PICTURES),
    st.sampled_from(PICTURES).map(lambda picture: picture[: len(picture) // 2]),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"PK\x05\x06" + bytes(18), b"\xff\xd8\xff", b"RIFF"]),
    st.binary(max_size=300),
)
schemathesis.openapi.format("binary", files)
for media_type in ("application/sdp", "application/trickle-ice-sdpfrag"):
    lines = st.lists(st.sampled_from(SDP_LINES) | st.text(max_size=40), max_size=40).map("\r\n".join)
    schemathesis.openapi.media_type(media_type, lines.map(str.encode) | st.binary(max_size=300))


@schemathesis.hook
def before_load_schema(_context: Any, raw_schema: dict[str, Any]) -> None:
    """FastAPI's way to say a file is not known to schemathesis as one."""
    _files_said(raw_schema)


def _files_said(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("contentMediaType") == "application/octet-stream":
            schema["format"] = "binary"
        for part in schema.values():
            _files_said(part)
    elif isinstance(schema, list):
        for part in schema:
            _files_said(part)


@schemathesis.hook
def flatmap_path_parameters(context: Any, path_parameters: dict[str, Any]) -> Any:
    """What is there at first stays there, or little could be asked of it after a while."""
    chosen = _some_there(path_parameters)
    if context.operation.method.upper() in ("GET", "POST") and "merge" not in context.operation.path:
        return chosen
    return chosen.map(lambda found: {name: SPARE.get(value, value) for name, value in found.items()})


@schemathesis.hook
def flatmap_query(_context: Any, query: dict[str, Any]) -> Any:
    return _some_there(query)


@schemathesis.hook
def flatmap_body(_context: Any, body: Any) -> Any:
    return st.just(body) if not isinstance(body, dict) else st.one_of(st.just(body), _some_there(body))


def _some_there(made: dict[str, Any] | None) -> Any:
    """The same, with what is there in the place of what was made up, here and there."""
    strategies = {name: st.just(value) for name, value in (made or {}).items()}
    known = {name: st.sampled_from(THERE[name]) for name in strategies if name in THERE}
    known |= {name: st.sampled_from(PICTURES).map(Binary) for name in strategies if name in OF_FILES}
    known |= {name: st.sampled_from(EMBEDDINGS) for name in strategies if name in OF_EMBEDDINGS}
    for name, value in (made or {}).items():
        if name in OF_LISTS and isinstance(value, list):
            known[name] = st.tuples(*(_some_there(one) for one in value if isinstance(one, dict))).map(list)
    return st.fixed_dictionaries(strategies | known)


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    sent["requests"] += 1
    sent[f"status {response.status_code}"] += 1
    sent[f"{case.operation.label}: {response.status_code}"] += 1
    if case.media_type == "multipart/form-data":
        sent["multipart"] += 1


@atexit.register
def _tell() -> None:
    Path(os.environ["FUZZ_SENT"]).write_text(json.dumps(sent))
