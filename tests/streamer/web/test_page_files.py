"""Files of a page: as they are, packed for who takes that, and sent once."""

import gzip

import pytest
from starlette.requests import Request

from streamer.web.page_files import PageFiles

SCRIPT = b"export const answer = 42;\n" * 40


@pytest.fixture
def files(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "app.js").write_bytes(SCRIPT)
    (tmp_path / "parts" / "small.css").write_bytes(b"a{}")
    (tmp_path / "icon.png").write_bytes(bytes(500))
    return PageFiles(tmp_path, "default-src 'none'", {"X-More": "yes"})


def asked(**headers: str) -> Request:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": sent})


def test_a_file_is_what_it_is(files):
    answer = files.answer(asked(), "app.js")
    assert (answer.status_code, answer.body) == (200, SCRIPT)
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["content-security-policy"] == "default-src 'none'"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-more"] == "yes"
    assert "content-encoding" not in answer.headers
    assert files.answer(asked(), "parts/small.css").body == b"a{}"
    assert files.answer(asked(), "icon.png").headers["content-type"] == "image/png"


def test_it_is_packed_where_that_is_taken_and_smaller(files):
    answer = files.answer(asked(accept_encoding="br, gzip"), "app.js")
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body) == SCRIPT
    assert len(answer.body) < len(SCRIPT) / 4
    assert answer.headers["vary"] == "Accept-Encoding"
    for name in ("parts/small.css", "icon.png"):
        assert "content-encoding" not in files.answer(asked(accept_encoding="gzip"), name).headers
    assert "content-encoding" not in files.answer(asked(accept_encoding="gzip;q=0"), "app.js").headers


@pytest.mark.parametrize("accepted", ["", "gzip"])
def test_who_has_it_is_told_so(files, accepted):
    first = files.answer(asked(accept_encoding=accepted), "app.js")
    for known in (first.headers["etag"], f'"other", W/{first.headers["etag"]}', "*"):
        again = files.answer(asked(accept_encoding=accepted, if_none_match=known), "app.js")
        assert (again.status_code, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["content-security-policy"] == "default-src 'none'"
    other = "" if accepted else "gzip"
    assert files.answer(asked(accept_encoding=other), "app.js").headers["etag"] != first.headers["etag"]
    assert files.answer(asked(if_none_match='"nothing"'), "app.js").status_code == 200


@pytest.mark.parametrize("name", ["", "nothing.js", "../app.js", "parts", "parts/", "/app.js", "parts/../app.js"])
def test_there_is_no_other_file(files, name):
    assert name not in files


def test_a_kind_without_a_media_type_fails_at_once(tmp_path):
    (tmp_path / "data.bin").write_bytes(b"x")
    with pytest.raises(KeyError):
        PageFiles(tmp_path, "")
