"""PyTorch out of memory: work goes in; its result, or an error that says which memory was too small, comes out.

PyTorch has a class of error for that on GPUs alone; for RAM, and while CUDA starts, it is words in a RuntimeError.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from recognition.errors import InsufficientGpuMemory, InsufficientMemory

T = TypeVar("T")

_OF_RAM = ("not enough memory", "can't allocate memory", "bad_alloc")
# The last one: what cuBLAS and cuDNN say.
_OF_GPU = ("CUDA out of memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")


def is_shortage(error: BaseException) -> bool:
    """Whether this is what too little memory, of whichever kind, makes PyTorch raise."""
    return _is_of_gpu(error) or isinstance(error, MemoryError) or _says(error, _OF_RAM)


def within_memory(work: Callable[[], T], model: str, device: str, what: str) -> T:
    """The result of `work`. Raises InsufficientGpuMemory and InsufficientMemory; `what` did not fit, in words."""
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        of_gpu = _is_of_gpu(error)
    # Only here is the error gone, and with it the tensors that its traceback held.
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if of_gpu:
        raise InsufficientGpuMemory(
            f"model {model}: {device} has too little memory left for {what}; end other programs on it, or take a "
            "smaller model"
        )
    raise InsufficientMemory(
        f"model {model}: there is too little RAM left for {what}; end other programs, or take a smaller model"
    )


def _is_of_gpu(error: BaseException) -> bool:
    # A CUDA graph's capture that is broken off by a shortage ends in an error of its own.
    return any(isinstance(one, torch.cuda.OutOfMemoryError) or _says(one, _OF_GPU) for one in _with_causes(error))


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    return any(part in str(error) for part in words)
