"""Ways to make a folder hostile, and a process that audits what opening it does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import torch
from safetensors.torch import load_file

from support import audited

Attack = Callable[[Path], object]  # changes a good folder
INDEX = "model.safetensors.index.json"
KERNELS = """
import os
from unittest.mock import MagicMock
Device = LayerRepository = Mode = register_kernel_mapping = MagicMock()
replace_kernel_forward_from_hub = lambda *_: None
use_kernel_forward_from_hub = lambda *_: lambda kind: kind
def get_kernel(name, **_): open(os.environ["CANARY"], "w").write(name)
"""


def edit(path: Path, **changes: object) -> None:
    """Change keys of a JSON file."""
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | changes))


def canary(folder: Path) -> str:
    """Code that opens a file outside ``folder``."""
    return f"open({str(folder.parent.parent / 'canary')!r}, 'w')\n"


def outside(folder: Path) -> Path:
    """A folder that must not be read."""
    path = folder.parent.parent / "outside" / folder.name
    path.mkdir(parents=True, exist_ok=True)
    return path


def linked_outside(name: str) -> Attack:
    """Replace a file by a link out of the folder."""

    def attack(folder: Path) -> None:
        shutil.move(folder / name, outside(folder) / name)
        (folder / name).symlink_to(outside(folder) / name)

    return attack


def replaced(name: str, text: str) -> Attack:
    """Replace the text of a file."""
    return lambda folder: (folder / name).write_text(text)


def custom_generate(folder: Path) -> None:
    """Add the file that transformers runs instead of its own ``generate``."""
    (folder / "custom_generate").mkdir()
    code = f"{canary(folder)}def generate(model): ...\n"
    (folder / "custom_generate" / "generate.py").write_text(code)


def pickle_in_index(folder: Path) -> None:
    """Name a pickle as one of the weight files."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    torch.save(weights, folder / "model-00002-of-00002.bin")
    files = dict.fromkeys(sorted(weights), "model-00001-of-00002.safetensors")
    files[min(weights)] = "model-00002-of-00002.bin"
    edit(folder / INDEX, metadata={"total_size": 1}, weight_map=files)


def make_sandbox(factory: pytest.TempPathFactory) -> Path:
    """Folders of one audited process: hostile folders belong in ``in``, run folders in ``runs``."""
    sandbox = factory.mktemp("audited")
    for name in ("in", "runs", "tmp", "cache", "home", "site", "cwd"):
        (sandbox / name).mkdir()
    (sandbox / "site" / "kernels.py").write_text(KERNELS)
    return sandbox


def audit(
    sandbox: Path, jobs: dict[str, list[str]], imports: tuple[str, ...] = ()
) -> dict[str, dict[str, Any]]:
    """Run ``support/audited.py``.

    Args:
        sandbox: From ``make_sandbox``.
        jobs: ``{name: [kind, *arguments]}``.
        imports: Modules to import before the audit begins.

    Returns:
        ``{name: outcome}``.
    """
    writable = [str(sandbox / name) for name in ("runs", "tmp", "cache", "home", "cwd")]
    request = {
        "jobs": list(jobs.values()),
        "imports": imports,
        "roots": [*writable, matplotlib.get_cachedir()],
        "untrusted": [str(sandbox / "in")],
        "site": str(sandbox / "site"),
    }
    (sandbox / "jobs.json").write_text(json.dumps(request))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "PYTHON"))}
    environment |= {
        "TMPDIR": str(sandbox / "tmp"),
        "TEXTGEN_CACHE": str(sandbox / "cache"),
        "HOME": str(sandbox / "home"),
        "HF_HOME": str(sandbox / "cache" / "hf"),
        "MPLCONFIGDIR": matplotlib.get_cachedir(),
        "CANARY": str(sandbox / "canary"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(audited.ROOT), str(sandbox / "site")]),
    }
    files = [str(sandbox / name) for name in ("jobs.json", "results.json")]
    command = [sys.executable, audited.__file__, *files]
    options = {"env": environment, "cwd": sandbox / "cwd", "capture_output": True, "text": True}
    process = subprocess.run(command, timeout=300, **options)
    assert process.returncode == 0, process.stderr[-3000:]
    return dict(zip(jobs, json.loads((sandbox / "results.json").read_text()), strict=True))


def check(outcome: dict[str, Any], message: str) -> None:
    """Assert that a job did nothing forbidden; with a ``message``, that it failed with it."""
    assert outcome["events"] == []
    assert outcome["code"] == (2 if message else 0), outcome["output"]
    assert message in outcome["output"]
