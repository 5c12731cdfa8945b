"""Arrays that are used again: never while somebody refers to them, and not for longer than they are wanted."""

import threading

import numpy as np
import pytest

from recognition.arrays import RARELY_S, ArrayPool


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(clock: Clock) -> ArrayPool:
    pool = ArrayPool(2, clock)
    pool.f32((2, 3))  # from now on it is asked for often
    return pool


def place(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_an_array_is_used_again_once_nobody_refers_to_it(pool):
    first = pool.f32((2, 3))
    where = place(first)
    del first
    assert pool.spare_bytes == 24
    again = pool.f32((3, 2))
    assert place(again) == where
    assert (again.shape, again.dtype, again.flags.writeable) == ((3, 2), np.float32, True)


def test_a_view_of_a_view_keeps_it(pool):
    first = pool.f32((2, 3))
    first[:] = 7
    view = first[None][0].T[1:].view(np.uint32)
    del first
    others = [pool.f32((2, 3)) for _ in range(3)]
    for other in others:
        other[:] = 8
    assert (view.view(np.float32) == 7).all()
    del view
    assert pool.spare_bytes == 24


def test_no_more_lie_there_unused_than_it_was_told(pool):
    held = [pool.u8((24,)) for _ in range(5)]
    del held
    assert pool.spare_bytes == 48


def test_what_is_asked_for_rarely_is_not_kept(pool, clock):
    held = [pool.u8((24,)) for _ in range(2)]
    del held
    clock.now_s += RARELY_S
    rare = pool.u8((24,))
    assert pool.spare_bytes == 0  # what a busy time left went, too
    del rare
    assert pool.spare_bytes == 0
    pool.u8((24,))
    assert pool.spare_bytes == 24


def test_sizes_that_were_not_asked_for_for_long_are_forgotten(pool):
    for size in range(100, 200):
        pool.u8((size,))
        pool.u8((size,))
    assert pool.spare_bytes <= 16 * 200


def test_threads_never_get_the_same_array(pool):
    wrong = []

    def use(number: int) -> None:
        for _ in range(300):
            array = pool.u8((512,))
            array[:] = number
            if not (array == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
