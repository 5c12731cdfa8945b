"""How this process asks for memory: told to glibc once, before its threads are started. Nothing goes in or comes out.

A frame's megabytes are taken on one thread and given back on another, and glibc, which gives each thread a heap of
its own, leaves holes in all of them: a process that opened sources again and again grew, and with two heaps did not.
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
