"""Photos that come again: bounded by count and by time, whether somebody asks or not."""

import asyncio

from streamer.inference.embedding_cache import EmbeddingCache


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def key(name: str) -> tuple[str, ...]:
    return (name, "model")


async def test_who_was_asked_for_the_longest_ago_goes_first():
    cache: EmbeddingCache[int] = EmbeddingCache(2)
    cache.put(key("a"), 1)
    cache.put(key("b"), 2)
    assert cache.get(key("a")) == 1
    cache.put(key("c"), 3)
    assert [cache.get(key(name)) for name in "abc"] == [1, None, 3]


async def test_asking_for_it_makes_it_no_younger():
    clock = Clock()
    cache: EmbeddingCache[int] = EmbeddingCache(8, keep_s=10.0, clock=clock)
    cache.put(key("a"), 1)
    clock.now_s += 9.9
    assert cache.get(key("a")) == 1
    clock.now_s += 0.2
    assert cache.get(key("a")) is None


async def test_it_is_gone_in_time_though_nobody_asks():
    cache: EmbeddingCache[int] = EmbeddingCache(8, keep_s=0.01)
    for name in "abc":
        cache.put(key(name), 1)
    async with asyncio.timeout(10):
        while len(cache):
            await asyncio.sleep(0)


async def test_of_no_size_it_keeps_nothing():
    cache: EmbeddingCache[int] = EmbeddingCache(0)
    cache.put(key("a"), 1)
    assert (len(cache), cache.get(key("a"))) == (0, None)


async def test_it_can_be_emptied_also_of_what_is_under_way():
    cache: EmbeddingCache[int] = EmbeddingCache(8)
    before = cache.era
    cache.put(key("a"), 1, before)
    cache.clear()
    cache.put(key("b"), 2, before)
    cache.put(key("c"), 3, cache.era)
    assert [cache.get(key(name)) for name in "abc"] == [None, None, 3]
