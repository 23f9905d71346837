"""The wheel has every file of the two packages, and works without this checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build", reason="no build: it is in the extra dev")

ROOT = Path(__file__).parents[1]
PACKAGES = ("agents", "textgen_env")
CACHES = shutil.ignore_patterns("__pycache__", "*.egg-info")
PROGRAM = """
import agents, textgen_env
from agents.reporting import pages
assert "site-packages" in agents.__file__ and "site-packages" in textgen_env.__file__
task = textgen_env.load_task("Copy-v0", train=50, valid=5, test=5)
quick = {"steps": 2, "log": False}
teacher = agents.train(agents.Transformer(task, layers=1), task, algorithm="mle", **quick)
student = agents.GRU(task, width=32, encoder_width=16)
student = agents.distill(teacher, student, task, algorithm="imitkd_full", **quick)
student.save("folder")
texts = ["a b c", "d"]
assert agents.load("folder").generate(texts) == student.generate(texts)
textgen_env.load_task("IWSLT-v0", corpus="bundled", bundled_pairs=50, vocabulary=200)
print("done")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, since setuptools writes into the folder that it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=CACHES)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source" / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    subprocess.run([*command, folder / "source"], check=True, capture_output=True)
    (path,) = folder.glob("textgen_env-*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(wheel):
    files = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == files


@pytest.mark.slow
def test_the_wheel_works_in_a_fresh_environment(wheel, tmp_path):
    """The dependencies are those of this environment; a fresh download would take minutes."""
    venv.create(tmp_path / "venv", with_pip=False)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    dependencies = next(path for path in sys.path if Path(path, "torch").is_dir())
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    python = tmp_path / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--ignore-installed", wheel], check=True, capture_output=True)
    environment = os.environ | {"TEXTGEN_CACHE": str(tmp_path / "cache")}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [python, "-c", PROGRAM], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
    assert not done.stderr
