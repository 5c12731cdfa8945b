"""How this process holds memory: said once, at the start. Nothing goes in or comes out.

A frame's megabytes are taken on one thread and given back on another, and glibc, which gives each thread a heap of
its own, leaves holes in all of them. What errors and their tracebacks hold in a circle, the last picture of a lost
camera among it, waits for Python's rare full collections. Both add to what a process with reconnecting
cameras grows by; docs/performance.md says what is left.
"""

import ctypes
import gc

M_ARENA_MAX = -8
ARENAS = 2
M_MMAP_THRESHOLD = -3
LARGE_BYTES = 1 << 20  # a picture: taken from the system by itself and given back to it, so that it leaves no hole


def set_aside_what_stays() -> None:
    """Call it when all is loaded: full collections then look at what came since alone, so they are quick and frequent.

    Python waits with them until a quarter of all that lives is new; of the hundred thousands of objects that were
    imported, none will ever go.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # what is left now is what "a quarter" is reckoned from


def limit_arenas() -> bool:
    """Share ARENAS heaps among all threads, and keep what is large out of them; False where this is not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(M_ARENA_MAX, ARENAS)) and bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES))
    except AttributeError:
        return False
