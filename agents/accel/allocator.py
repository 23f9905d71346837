"""The heap of the process, where tensors live on a CPU."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
KEEP = 512 << 20  # bytes of free memory kept; a larger block comes and goes by itself


def keep_freed_memory() -> bool:
    """Let freed tensors serve the next step; False where the allocator is not glibc's.

    Otherwise glibc returns blocks above 32 MiB, say the logits of 1,000 positions, to the kernel, and each
    new one costs a page fault every 4 KiB. It concerns the whole process and cannot be undone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(option, KEEP) == 1 for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)])
