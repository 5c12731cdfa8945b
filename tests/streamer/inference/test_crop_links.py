import asyncio

import pytest

from streamer.inference.crop_links import CropLinks, new_key


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_crop_is_there_until_its_time_is_over():
    clock = Clock()
    links = CropLinks(30.0, clock=clock)
    links.put("a", b"first")
    clock.now_s += 20
    links.put("b", b"second")
    assert (links.get("a"), links.get("b"), links.get("c")) == (b"first", b"second", None)
    clock.now_s += 10
    assert (links.get("a"), links.get("b")) == (None, b"second")
    clock.now_s += 20
    assert (links.get("b"), links.bytes_held) == (None, 0)


@pytest.mark.parametrize(("most", "left"), [(100, "abc"), (25, "bc"), (10, "c"), (9, "")])
async def test_the_oldest_goes_where_there_is_no_room(most, left):
    links = CropLinks(30.0, most)
    for key in "abc":
        links.put(key, bytes(10))
    assert "".join(key for key in "abc" if links.get(key)) == left
    assert links.bytes_held == 10 * len(left)


@pytest.mark.parametrize("names", ["a", "ab", "abc"])
async def test_it_is_gone_in_time_though_nobody_asks(names):
    links = CropLinks(0.01)
    for name in names:
        links.put(name, b"face")
    async with asyncio.timeout(10):
        while links.bytes_held:
            await asyncio.sleep(0)


async def test_none_is_left_when_it_is_cleared_nor_comes_of_what_was_under_way():
    links = CropLinks(30.0)
    before = links.era
    links.put("a", b"face", before)
    links.clear()
    assert (links.get("a"), links.bytes_held) == (None, 0)
    links.put("b", b"late", before)
    links.put("c", b"new", links.era)
    assert [links.get(name) for name in "abc"] == [None, None, b"new"]


def test_keys_are_long_random_and_fit_for_a_url():
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert {len(key) for key in keys} == {22}
    assert all(letter.isalnum() or letter in "-_" for key in keys for letter in key)
