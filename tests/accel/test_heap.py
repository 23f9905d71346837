"""The allocator keeps what it freed, within bounds, and its heap lies in huge pages where the system has them."""

from __future__ import annotations

import platform
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from agents.accel import heap

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tunes glibc's allocator")
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def printed(script: str) -> list[str]:
    """The words that ``script`` prints, in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()


def test_a_tuned_allocator_keeps_what_it_freed_within_its_bounds():
    script = """
        import random, torch
        from agents.accel.heap import KEEP, tune_allocator

        def resident():
            return int(open("/proc/self/statm").read().split()[1]) * 4096

        torch.set_num_threads(1)
        tuned = tune_allocator()
        before = resident()
        torch.ones(1 << 24)
        kept = resident() - before
        for seed in range(3):
            random.seed(seed)
            for _ in range(60):
                held = [torch.ones(random.randrange(1 << 21)) for _ in range(8)]
        torch.ones(KEEP // 2)  # 2 · KEEP bytes: mapped, then unmapped
        grown = resident() - before
        for rows in range(1, 601):
            torch.ones(rows, 64, dtype=torch.bfloat16) @ torch.ones(64, 64, dtype=torch.bfloat16)
        print(tuned, kept >> 20, grown >> 20, (resident() - before - grown) >> 20)
    """
    tuned, kept, grown, compiled = printed(script)
    assert int(compiled) < 250  # unbounded: 390, and growing with every new shape
    assert tuned == "True"
    assert int(kept) >= 60
    assert int(grown) <= (heap.KEEP >> 20) + 100


def test_a_heap_that_has_grown_is_put_into_huge_pages_once_the_allocator_is_tuned():
    if not HUGE_PAGES.is_file() or "[madvise]" not in HUGE_PAGES.read_text():
        pytest.skip("this system has no huge pages to give, or gives them unasked")
    script = """
        import re, torch
        from agents.accel.heap import tune_allocator, use_huge_pages

        def huge():
            return int(re.search(r"AnonHugePages: +(\\d+)", open("/proc/self/smaps_rollup").read())[1]) >> 10

        torch.set_num_threads(1)
        before = huge()
        first = torch.arange(1 << 22)
        use_huge_pages()
        untuned = huge() - before
        tuned = tune_allocator()
        held = [torch.arange(1 << 22) for _ in range(4)]  # 32 MiB each
        use_huge_pages()
        once = huge() - before
        held += [torch.arange(1 << 22) for _ in range(4)]
        use_huge_pages()
        same = all(torch.equal(each, first) for each in held)
        print(tuned, untuned, once, huge() - before, same)
    """
    tuned, untuned, once, twice, same = printed(script)
    assert (tuned, same) == ("True", "True")
    assert int(untuned) == 0
    assert int(once) >= 96
    assert int(twice) >= 192
