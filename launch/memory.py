"""Memory that a training step frees stays with the process, for the next step."""

from __future__ import annotations

import ctypes

# Of glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def keep_freed() -> None:
    """Tells the C library to hand no memory back to the system before the process ends.

    XLA for CPUs takes the temporary arrays of each call as one block. Above 32 MB glibc maps such a
    block anew and unmaps it, and the system clears its pages for each step: 5 to 20 % of SSR-Net's
    at a batch of 50, the more the busier the machine. Nothing happens with another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)
