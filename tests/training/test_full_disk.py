"""Full disks and deleted folders: a one-line error, and a resume once the cause is gone."""

from __future__ import annotations

import io
import resource
import shutil
import subprocess

import pytest
from rich.console import Console

from support.training import equal_weights, fit
from textgen_env.errors import UserError


@pytest.mark.parametrize(
    "limit", [0, 1_500, 4_000, 60_000], ids=["everything", "metrics", "events", "checkpoint"]
)
def test_failed_write_gives_one_line_and_the_training_resumes_bitwise(
    straight, tmp_path, limit, monkeypatch
):
    # The limit also holds for the file in which pytest captures the console.
    monkeypatch.setattr("agents.training.logger.console", Console(file=io.StringIO()))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit_file_size() -> float:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        return 1.0

    try:
        with pytest.raises(UserError, match="File too large") as error:
            fit(tmp_path / "run", at=7, action=limit_file_size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(error.value).startswith(f"cannot write {tmp_path / 'run'}")
    assert "\n" not in str(error.value)
    resumed, _ = fit(tmp_path / "run", resume=True)
    assert equal_weights(straight[0], resumed)


def test_full_disk_gives_one_line_and_the_training_resumes_bitwise(straight, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a file system here")

    def fill_disk() -> float:
        with open(disk / "filler", "wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError:
                    return 1.0

    try:
        with pytest.raises(UserError, match="No space left on device") as error:
            fit(disk / "run", at=6, action=fill_disk)
        assert "\n" not in str(error.value)
        (disk / "filler").unlink()
        resumed, _ = fit(disk / "run", resume=True)
        assert equal_weights(straight[0], resumed)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("step", [7, 8])
def test_folder_deleted_during_the_training_is_named(tmp_path, step):
    folder = tmp_path / "run"

    def delete_folder() -> float:
        shutil.rmtree(folder)
        return 1.0

    with pytest.raises(UserError, match=str(folder)) as error:
        fit(folder, at=step, action=delete_folder)
    assert "\n" not in str(error.value)
    assert not folder.exists()
