"""Keeps the memory that a process frees, so that it need not be cleared and mapped again."""

import ctypes

import numpy as np

# Of glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER = -1  # read as an unsigned size, the largest there is
_LARGE = 2**24  # bytes; more than a temporary array of the faces that are drawn takes


def keep_freed() -> None:
    """Tells the C library to hand no memory back to the system before the process ends.

    XLA for CPUs takes the temporary arrays of each call as one block. Above 32 MB glibc maps such a
    block anew and unmaps it, and so it does with 64 MB of any thread but the first; the system
    clears the pages for each step. So nothing is mapped, and all threads share the first one's
    memory. That saves a tenth of a step of ResNet18-Tiny, and less of smaller networks', and half
    of one that takes more than 2 GB (MobileNet-1.0 at 224x224 in batches of 32). Nothing happens
    with another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)


def keep_small_freed() -> None:
    """Has glibc keep freed blocks of up to 16 MB, without a promise for larger ones.

    Freeing a large block raises glibc's limits for that (mallopt(3), M_MMAP_THRESHOLD). It suits
    functions of the library, whose caller may need the memory for something else; after
    `keep_freed` it changes nothing.
    """
    np.empty(_LARGE, np.uint8)
