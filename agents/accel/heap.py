"""The process's heap, where tensors live: kept, bounded, and in huge pages.

Nothing here acts on import.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from pathlib import Path

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # <malloc.h>
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25  # <linux/mman.h>
KEEP, PAD = 512 << 20, 64 << 20  # bytes of free memory kept at the heap's end, and by how much it grows at a time
KERNELS = 128  # compiled matrix products kept, one a shape; oneDNN's own default of 1,024 comes to gigabytes
HUGE = 2 << 20  # bytes of a huge page
HEAP = re.compile(r"^(\w+)-\w+ .*\[heap\]$", re.MULTILINE)

_end: int | None = None  # of the heap that is in huge pages; None until the allocator is tuned


def tune_allocator() -> bool:
    """Keep freed tensors for the next step, and bound what is kept; True where the allocator (glibc's) can be told to.

    glibc returns every large tensor to the kernel, whose page faults then cost more than an element-wise operation itself.
    Blocks of ``KEEP`` bytes and more still come and go one by one, and no more than ``KEEP`` free bytes stay at the end of the
    heap.  With ever-changing shapes oneDNN's cache of compiled products grows too, so that is bounded as well.
    For scripts, before their first product: it concerns the whole process and its forks.
    """
    global _end
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):  # oneDNN's, and torch's above it
        os.environ.setdefault(cache, str(KERNELS))
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    options = ((M_MMAP_THRESHOLD, KEEP), (M_TRIM_THRESHOLD, KEEP), (M_TOP_PAD, PAD))
    tuned = all(libc.mallopt(option, value) == 1 for option, value in options)
    if tuned and _end is None:
        _end = 0
    return tuned


def give_back() -> None:
    """Return freed memory to the kernel, where the allocator (glibc's) can be told to."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def use_huge_pages() -> None:
    """Where the allocator is tuned, put the heap into huge pages as far as it has grown since the last call.

    With pages of 4 KiB a good part of every pass over a large tensor goes into finding them.  What is already in use is copied
    together once; as long as the heap has not grown this costs nothing.  For a training loop, between its steps.  A system
    without huge pages declines, and nothing changes.
    """
    global _end
    if _end is None or sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    libc.sbrk.argtypes, libc.sbrk.restype = [ctypes.c_ssize_t], ctypes.c_void_p
    end = libc.sbrk(0) // HUGE * HUGE
    start = -(-(_end or _heap_start() or end) // HUGE) * HUGE
    _end = end  # also where the heap has shrunk: as it grows again, it has to be put there again
    if start < end:
        for advice in (MADV_HUGEPAGE, MADV_COLLAPSE):
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)


def _heap_start() -> int | None:
    found = HEAP.search(Path("/proc/self/maps").read_text())
    return None if found is None else int(found[1], 16)
