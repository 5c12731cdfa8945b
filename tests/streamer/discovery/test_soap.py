"""XML from whoever answers: what is read, what is refused, what may be shown."""

import base64
import random
import tracemalloc
from datetime import UTC, datetime

import pytest

from streamer.discovery.soap import MOST_BYTES, NotSoap, parse, shown, text_of, username_token

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1 if n else chr(0)};".replace(chr(0), "") * 10}">' for n in range(9))
    + "]><x>&a8;</x>"
)


def test_names_are_read_without_their_namespaces():
    root = parse(b'\n<a:x xmlns:a="u:1" xmlns="u:2"><y a:k="1" j="2"> one </y><a:z>two<y>three</y></a:z></a:x>')
    assert (root.tag, text_of(root, "y"), text_of(root, "z"), text_of(root, "nothing")) == ("x", "one", "two", "")
    assert root[0].attrib == {"k": "1", "j": "2"}


@pytest.mark.parametrize(
    "data",
    [
        BOMB.encode(),
        BOMB.encode("utf-16"),
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        b'<?xml version="1.0" encoding="cp037"?><x/>',
        b'<?xml version="1.0" encoding="utf-7"?><x/>',
        b'<?xml version="1.0" encoding="big5"?><x/>',
        b"<x>&nothing;</x>",
        b"<x><y></x>",
        b"<x/><x/>",
        b"",
        b"<html><body>camera</body>",
        b"\xff\xd8\xff\xe0",
        b"<x>" * 100 + b"</x>" * 100,
        b"<x>" + b"<y/>" * 30_000 + b"</x>",
        b"<x>" + b"y" * MOST_BYTES + b"</x>",
    ],
    ids=lambda data: data[:30].decode(errors="replace"),
)
def test_what_is_not_read(data):
    with pytest.raises(NotSoap) as refused:
        parse(data)
    assert "passwd" not in str(refused.value)


@pytest.mark.parametrize("text", ["<x>é</x>", '<?xml version="1.0" encoding="{}"?><x>é</x>'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_encodings(text, encoding):
    if "{}" not in text and encoding == "iso-8859-1":
        with pytest.raises(NotSoap):
            parse(text.encode(encoding))
    else:
        assert text_of(parse(text.format(encoding).encode(encoding)), "x") == "é"


def test_anything_at_all_is_read_or_refused_in_little_memory():
    good = b'<?xml version="1.0"?><a:x xmlns:a="u:1"><y k="v">text &amp; more</y><![CDATA[z]]><!-- c --></a:x>'
    chance = random.Random(7)
    tracemalloc.start()
    for _ in range(5000):
        data = bytearray(good)
        for _ in range(chance.randint(1, 8)):
            place = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    del data[place : place + chance.randrange(1, 9)]
                case 2:
                    data[place:place] = data[chance.randrange(len(data)) :]
                case _:
                    data[place:place] = chance.choice([b"<!DOCTYPE y>", b"&x;", b"\x00", b"<", b'"', b"]]>"])
        try:
            parse(bytes(data))
        except NotSoap as refused:
            assert "\n" not in str(refused)  # noqa: PT017 (most are read)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_a_login_leaves_as_a_digest():
    """The example of the ONVIF Application Programmer's Guide, 6.1.1.3."""
    nonce = base64.b64decode("LKqI6G/AikKCQrN0zqZFlg==")
    header = username_token("user", "userpassword", datetime(2010, 9, 16, 7, 50, 45, tzinfo=UTC), nonce)
    assert ">tuOSpGlFlIXsozq4HFNeeGeFLEI=</Password>" in header
    assert ">LKqI6G/AikKCQrN0zqZFlg==</Nonce>" in header
    assert ">2010-09-16T07:50:45Z</Created>" in header
    assert "userpassword" not in header
    assert "<Username>a&amp;b</Username>" in username_token("a&b", "x", datetime.now(UTC), nonce)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Front Door", "Front Door"),
        ("  two\n lines\t", "two lines"),
        ("\x1b[2Jgone\x07", "?[2Jgone?"),
        ("right\u202eleft", "right?left"),
        ("Tür 入口", "Tür 入口"),
        ("x" * 200, "x" * 79 + "…"),
    ],
)
def test_a_device_s_text_is_shown_on_one_line(text, line):
    assert shown(text) == line
