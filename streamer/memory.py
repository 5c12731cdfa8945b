"""How this process holds memory: said once, at the start. Nothing goes in or comes out.

A frame's megabytes are taken on one thread and given back on another, and glibc, which gives each thread a heap of
its own, leaves holes in all of them. What errors and their tracebacks hold in a circle, the last picture of a lost
camera among it, waits for Python's rare full collections. Both made a process with reconnecting cameras grow.
"""

import ctypes
import gc

M_ARENA_MAX = -8
ARENAS = 2


def set_aside_what_stays() -> None:
    """Call it when all is loaded: full collections then look at what came since alone, so they are quick and frequent.

    Python waits with them until a quarter of all that lives is new; of the hundred thousands of objects that were
    imported, none will ever go.
    """
    gc.collect()
    gc.freeze()


def limit_arenas() -> bool:
    """Share ARENAS heaps among all threads; False where the C library is not glibc and has no such limit."""
    try:
        return bool(ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS))
    except AttributeError:
        return False
