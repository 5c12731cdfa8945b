"""Arrays that are used again: never while somebody refers to them, and not for longer than they are wanted."""

import gc
import threading

import av
import numpy as np
import pytest
from onnxruntime import OrtValue

from recognition.arrays import RARELY_S, ArrayPool
from recognition.runtimes.onnx_session import open_session
from tests.conftest import PROJECT


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
    pool.let_go()
    assert pool.spare_bytes == 0
    rare = pool.u8((24,))
    del rare
    assert pool.spare_bytes == 0
    pool.u8((24,))
    assert pool.spare_bytes == 24


def test_sizes_that_were_not_asked_for_for_long_are_forgotten(pool):
    for size in range(100, 200):
        pool.u8((size,))
        pool.u8((size,))
    assert pool.spare_bytes <= 16 * 200


def test_a_size_that_is_asked_for_no_more_goes_with_the_next_one(pool, clock):
    pool.u8((100,))
    pool.u8((100,))
    assert pool.spare_bytes == 100
    clock.now_s += RARELY_S
    pool.u8((50,))
    assert pool.spare_bytes == 0


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


@pytest.mark.parametrize(
    "hold",
    [memoryview, lambda array: av.VideoFrame.from_numpy_buffer(array, format="gray"), OrtValue.ortvalue_from_numpy],
    ids=["memoryview", "PyAV", "ONNX Runtime"],
)
def test_who_reads_the_memory_behind_an_array_keeps_it(pool, hold):
    pool.u8((64, 64))
    array = pool.u8((64, 64))
    where = place(array)
    holder = hold(array)
    del array
    others = [pool.u8((64, 64)) for _ in range(3)]
    assert where not in map(place, others)
    del holder, others
    assert where in map(place, [pool.u8((64, 64)) for _ in range(3)])


def test_what_goes_in_a_circle_with_its_own_end_is_used_again_after_it(pool):
    """The collector ends circles at any time: what reads the array at its end must still find its own."""
    ends = []

    class Circle:
        def __init__(self) -> None:
            self.array, self.me = pool.f32((2, 3)), self
            self.array[:] = 7

        def __del__(self) -> None:
            pool.f32((2, 3))[:] = 8
            ends.append(float(self.array.min()))

    Circle()
    gc.collect()
    assert ends == [7.0]


def test_networks_that_run_on_several_threads_read_what_they_were_given():
    session = open_session((PROJECT / "model/nano/nano_embed.onnx").read_bytes())
    (entry,) = session.get_inputs()
    shape = (1, *map(int, entry.shape[1:]))
    pool, wrong = ArrayPool(4), []

    def given(number: int) -> np.ndarray:
        array = pool.f32(shape)
        array[:] = np.linspace(-1, 1, array[0].size).reshape(shape) * (number + 1)
        return array

    right = [session.run(None, {entry.name: given(number).copy()})[0] for number in range(4)]

    def run(number: int) -> None:
        for _ in range(40):  # nobody but the network refers to what it is given
            if not np.array_equal(session.run(None, {entry.name: given(number)})[0], right[number]):
                wrong.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
