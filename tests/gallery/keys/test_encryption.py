"""Sealed blobs open under their key and at their place alone; keys tell nothing of themselves."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallery.keys.encryption import Cipher, MasterKey, SealBroken, new_key

TEXT = "c2l4dGVlbiBieXRlcyBhbmQgc2l4dGVlbiBtb3JlIQ=="  # 34 bytes


@given(st.binary(max_size=3000), st.text(max_size=50))
def test_what_was_sealed_opens_again(plain, place):
    cipher = Cipher(new_key())
    sealed = cipher.seal(plain, place)
    assert cipher.open(sealed, place) == plain
    assert sealed[:1] == b"\x01"
    assert len(sealed) == 1 + 12 + len(plain) + 16
    assert Cipher(None).open(Cipher(None).seal(plain, place), place) == plain
    assert Cipher(None).seal(plain, place) == b"\x00" + plain


def test_nothing_is_sealed_twice_alike_and_nothing_shows():
    cipher = Cipher(new_key())
    one, two = (cipher.seal(b"Ada Lovelace" * 9, "profile p1") for _ in range(2))
    assert one != two
    assert b"Ada" not in one


@pytest.mark.parametrize("at", [0, 1, 12, 13, 40, -17, -1])
def test_a_changed_byte_shows(at):
    cipher = Cipher(new_key())
    sealed = bytearray(cipher.seal(b"x" * 64, "here"))
    sealed[at] ^= 1
    with pytest.raises(SealBroken):
        cipher.open(bytes(sealed), "here")


@pytest.mark.parametrize("length", [0, 1, 5, 13, 20, 28])
def test_what_was_cut_shows(length):
    cipher = Cipher(new_key())
    with pytest.raises(SealBroken):
        cipher.open(cipher.seal(b"", "here")[:length], "here")


def test_another_place_another_key_and_plain_for_sealed_are_refused():
    cipher = Cipher(new_key())
    sealed, plain = cipher.seal(b"face", "template p1"), Cipher(None).seal(b"face", "template p1")
    for who, what, place in (
        (cipher, sealed, "template p2"),
        (Cipher(new_key()), sealed, "template p1"),
        (cipher, plain, "template p1"),
        (Cipher(None), sealed, "template p1"),
        (Cipher(None), b"", "template p1"),
    ):
        with pytest.raises(SealBroken):
            who.open(what, place)


def test_a_master_key_is_told_by_its_id_and_never_shown():
    text = base64.b64encode(bytes(range(32))).decode()
    key = MasterKey.from_text(f" {text}\r\n")
    assert key == MasterKey(bytes(range(32)))
    assert key.to_text() == text
    assert key.id == MasterKey.from_text(text).id == "fd33de529dad65d1"
    assert key != MasterKey.new()
    assert text not in repr(key)
    assert key.id in repr(key)


@pytest.mark.parametrize("text", ["", "x", TEXT, TEXT[:-4], "ä" * 44, "A" * 42 + "==", "-_" * 22])
def test_what_is_no_key_is_refused_without_being_quoted(text):
    with pytest.raises(ValueError, match="32 bytes") as caught:
        MasterKey.from_text(text)
    assert len(text) < 5 or text not in str(caught.value)


def test_purposes_are_apart():
    key = MasterKey.new()
    sealed = key.cipher("names").seal(b"key of p1", "p1")
    assert key.cipher("names").open(sealed, "p1") == b"key of p1"
    with pytest.raises(SealBroken):
        key.cipher("templates").open(sealed, "p1")
    tags = {
        key.tag("name", "ada"),
        key.tag("name", "bob"),
        key.tag("external", "ada"),
        MasterKey.new().tag("name", "ada"),
    }
    assert len(tags) == 4
    assert key.tag("name", "ada") == key.tag("name", "ada")
    assert {len(tag) for tag in tags} == {32}
