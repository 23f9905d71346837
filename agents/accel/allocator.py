"""The heap of the process, where CPU tensors live."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
KEEP = 512 << 20  # bytes of free memory to keep; larger blocks are still returned


def keep_freed_memory() -> bool:
    """Reuse the memory of freed tensors; returns False if the allocator is not glibc's.

    By default glibc returns blocks above 32 MiB, such as the logits of 1,000 positions, to the
    kernel, and every new block costs one page fault per 4 KiB. The setting is for the whole process
    and cannot be undone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(option, KEEP) == 1 for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)])
