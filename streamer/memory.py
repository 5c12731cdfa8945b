"""How this process asks for memory: told to glibc once, before any thread is started. Nothing goes in or comes out.

A frame's megabytes are taken on one thread and given back on another. glibc gives each thread a heap of its own, and
so leaves holes in all of them: with cameras that reconnect, and new threads each time, the process grew for as long
as it was watched. With two heaps it stays as it is (docs/performance.md).
"""

import ctypes

M_ARENA_MAX = -8
ARENAS = 2


def limit_arenas() -> bool:
    """Share ARENAS heaps among all threads; False where the C library is not glibc and has no such limit."""
    try:
        return bool(ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS))
    except AttributeError:
        return False
