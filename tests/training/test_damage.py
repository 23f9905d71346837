"""Checkpoints that are damaged or of another training, weights that are NaN, disks that are full: one line each, nothing lost."""

from __future__ import annotations

import io
import json
import resource
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents.algorithms.bc import BC
from agents.training.checkpoint import load_tensors, load_weights, save_tensors
from support.files import flipped
from support.training import STEPS, Stop, die, fit, same
from textgen_env.data.files import CorruptFileError, checksum, load_json, save_json
from textgen_env.errors import UserError


class Stateful(BC):
    """A buffer, and a parameter that no gradient reaches."""

    def __init__(self, policy):
        super().__init__(policy)
        self.register_buffer("seen", torch.zeros(2))
        self.idle = torch.nn.Parameter(torch.zeros(3))

    def loss(self, batch, clock):
        self.seen += 1
        return super().loss(batch, clock)


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A training that died after its second checkpoint of three."""
    folder = tmp_path_factory.mktemp("killed") / "run"

    class Dies(Stateful):
        def loss(self, batch, clock):
            return die() if clock.step >= 9 else super().loss(batch, clock)

    with pytest.raises(Stop):
        fit(folder, make=Dies)
    return folder


@pytest.fixture
def copied(killed, tmp_path) -> Path:
    return Path(shutil.copytree(killed, tmp_path / "run"))


def last(folder: Path) -> Path:
    return folder / "checkpoints" / "last.safetensors"


def one_line(call, *args, **settings) -> str:
    """The message of the UserError."""
    with pytest.raises(UserError) as error:
        call(*args, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_undamaged_it_resumes_to_the_bit_with_a_state_and_a_parameter_without_gradient(
    copied, tmp_path
):
    straight, _ = fit(tmp_path / "straight", make=Stateful)
    resumed, _ = fit(copied, resume=True, make=Stateful)
    assert same(straight, resumed)
    left, right = (load_tensors(last(folder))[0] for folder in (tmp_path / "straight", copied))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def tensor(name, change):
    """A fault of one tensor; ``change`` gives None for a missing one."""

    def spoil(tensors, header):
        changed = change(tensors.pop(name)) if name in tensors else change(torch.zeros(2))
        if changed is not None:
            tensors[name] = changed

    return spoil


def field(path, value):
    """A fault of one field of the header; ``value`` is ``del`` for a missing one."""

    def spoil(tensors, header):
        *owners, name = path.split(".")
        for owner in owners:
            header = header[owner]
        if value == "del":
            del header[name]
        else:
            header[name] = value

    return spoil


def gone(_):
    return None


def filled(value):
    return lambda found: torch.full_like(found, value)


FAULTS = {
    "moment of another shape": (
        tensor("optimizer.0.exp_avg", lambda t: t[:1].clone()),
        "optimizer.0.exp_avg is (",
    ),
    "second moment of another shape": (
        tensor("optimizer.3.exp_avg_sq", lambda t: t.flatten()[:2].clone()),
        "exp_avg_sq is (2,)",
    ),
    "moment of another type": (
        tensor("optimizer.0.exp_avg", torch.Tensor.double),
        "exp_avg is torch.float64 there",
    ),
    "no moment": (tensor("optimizer.1.exp_avg", gone), "optimizer.1.exp_avg is absent there"),
    "no second moment": (
        tensor("optimizer.1.exp_avg_sq", gone),
        "optimizer.1.exp_avg_sq is absent there",
    ),
    "no count of steps": (tensor("optimizer.1.step", gone), "optimizer.1.step is absent there"),
    "count of another shape": (
        tensor("optimizer.0.step", lambda t: t[None]),
        "optimizer.0.step is (1,) there",
    ),
    "moment of an unknown parameter": (
        tensor("optimizer.99.exp_avg", lambda t: t),
        "optimizer.99.exp_avg is (2,) there, absent",
    ),
    "unknown moment": (
        tensor("optimizer.0.max_exp_avg_sq", lambda t: t),
        "optimizer.0.max_exp_avg_sq is (2,) there, absent",
    ),
    "NaN moment": (
        tensor("optimizer.0.exp_avg", filled(float("nan"))),
        "optimizer.0.exp_avg is NaN",
    ),
    "unknown tensor": (tensor("unknown", lambda t: t), "unknown is (2,) there, absent here"),
    "weight of another shape": (
        tensor("policy.target_embedding.weight", lambda t: t[:2].clone()),
        "target_embedding.weight is (2, 16) there",
    ),
    "weight of another type": (
        tensor("policy.target_embedding.weight", torch.Tensor.half),
        "target_embedding.weight is torch.float16 there",
    ),
    "no weight": (
        tensor("policy.target_embedding.weight", gone),
        "target_embedding.weight is absent there",
    ),
    "NaN weight": (
        tensor("policy.target_embedding.weight", filled(float("nan"))),
        "weights of target_embedding.weight are NaN or infinite",
    ),
    "infinite weight": (
        tensor("policy.target_embedding.weight", filled(float("inf"))),
        "weights of target_embedding.weight are NaN or inf",
    ),
    "algorithm's state of another shape": (
        tensor("algorithm.seen", lambda t: t[:1].clone()),
        "size mismatch for seen",
    ),
    "algorithm's state that does not broadcast": (
        tensor("algorithm.seen", lambda t: torch.zeros(3)),
        "RuntimeError: ",
    ),
    "algorithm's state of another type": (
        tensor("algorithm.seen", torch.Tensor.long),
        "another Stateful: seen is",
    ),
    "no algorithm's state": (
        tensor("algorithm.seen", gone),
        'another Stateful (RuntimeError: Error(s) in loading state_dict for Stateful: Missing key(s) in state_dict: "seen".)',
    ),
    "unknown algorithm's state": (
        tensor("algorithm.more", lambda t: t),
        'Unexpected key(s) in state_dict: "more"',
    ),
    "another run": (field("vocabulary", "w"), "belongs to another run: vocabulary differ"),
    "no progress": (field("progress", "del"), "belongs to another run: no progress differ"),
    "progress that is none": (field("progress", [1]), "progress is '[1]'"),
    "step as text": (field("progress.step", "8"), "progress.step is '8'"),
    "negative step": (field("progress.step", -1), "progress.step is '-1'"),
    "step that is true": (field("progress.step", True), "progress.step is 'True'"),
    "step beyond the last": (
        field("progress.step", STEPS + 1),
        f"progress.step is {STEPS + 1}, best_step 8, of {STEPS} steps",
    ),
    "best step beyond the step": (
        field("progress.best_step", 9),
        "progress.step is 8, best_step 9",
    ),
    "best as text": (field("progress.best", "x"), "progress.best is 'x'"),
    "best that is NaN": (field("progress.best", float("nan")), "progress.best is 'nan'"),
    "unknown field": (field("progress.epoch", 1), "progress.epoch is unknown"),
    "no field": (field("progress.best", "del"), "progress.best is missing"),
    "unknown cost": (field("progress.cost.dollars", 1), "progress.cost.dollars is unknown"),
    "no cost": (field("progress.cost.seconds", "del"), "progress.cost.seconds is missing"),
    "negative cost": (
        field("progress.cost.gradient_tokens", -5),
        "progress.cost.gradient_tokens is '-5'",
    ),
    "part of a token": (
        field("progress.cost.gradient_tokens", 0.5),
        "progress.cost.gradient_tokens is '0.5'",
    ),
    "profile that is none": (field("progress.profile", 3), "progress.profile is '3'"),
    "negative seconds": (field("progress.profile.data", -1.0), "progress.profile.data is '-1.0'"),
}


@pytest.mark.parametrize(("spoil", "message"), FAULTS.values(), ids=FAULTS)
def test_a_checkpoint_that_does_not_fit_is_one_line_that_names_file_and_tensor(
    copied, spoil, message
):
    tensors, header = load_tensors(last(copied))
    spoil(tensors, header)
    save_tensors(last(copied), tensors, header)
    said = one_line(fit, copied, resume=True, make=Stateful)
    assert message in said
    assert str(last(copied)) in said


BYTES = {
    "a bit in the tensors": lambda data: flipped(data, len(data) - 100),
    "the last bit": lambda data: flipped(data, len(data) - 1),
    "a digit of the header": lambda data: data.replace(b'\\"step\\": 8', b'\\"step\\": 7', 1),
    "the checksum": lambda data: flipped(data, data.index(b'"checksum":"') + 14),
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("harm", BYTES.values(), ids=BYTES)
@pytest.mark.parametrize("name", ["last", "best"])
def test_a_damaged_checkpoint_is_refused_and_the_advice_leads_to_a_working_run(copied, harm, name):
    path = copied / "checkpoints" / f"{name}.safetensors"
    before = path.read_bytes()
    path.write_bytes(harm(before))
    if path.read_bytes() == before:  # best.safetensors has no such field
        pytest.skip("nothing to change")
    said = one_line(fit, copied, resume=True, make=Stateful)
    assert said.startswith(str(path))
    assert "delete it, and resume=true" in said
    path.unlink()
    straight, _ = fit(copied.parent / "straight", make=Stateful)
    resumed, progress = fit(copied, resume=True, make=Stateful)
    assert progress.step == STEPS
    assert same(straight, resumed)


def test_a_best_checkpoint_that_cannot_be_made_again_is_said_and_replaced_by_the_last(
    tmp_path, capsys
):
    fit(tmp_path, scores=[1, 3, 2])
    best = tmp_path / "checkpoints" / "best.safetensors"
    best.write_bytes(best.read_bytes()[:-9])
    assert f"delete it, and resume=true evaluates the weights of step {STEPS}" in one_line(
        fit, tmp_path, resume=True
    )
    best.unlink()
    _, progress = fit(tmp_path, resume=True, scores=[2])
    assert (progress.best, progress.best_step) == (2, STEPS)
    assert load_tensors(best)[1]["step"] == STEPS
    assert f"of step 8, is gone; the weights of step {STEPS} are evaluated" in " ".join(
        capsys.readouterr().err.split()
    )


def test_killed_between_its_two_checkpoints_it_still_resumes_to_the_bit(tmp_path, monkeypatch):
    straight, _ = fit(tmp_path / "straight")
    saved = []

    def save(path, tensors, header):
        saved.append(path.name)
        if len(saved) == 4:  # last, best, last, …
            raise Stop
        save_tensors(path, tensors, header)

    monkeypatch.setattr("agents.training.saving.save_tensors", save)
    with pytest.raises(Stop):
        fit(tmp_path / "killed")
    assert saved[-1] == "best.safetensors"
    monkeypatch.undo()
    resumed, _ = fit(tmp_path / "killed", resume=True)
    assert same(straight, resumed)


def test_weights_that_overflow_are_called_that_and_the_last_good_checkpoint_stays(copied):
    before = last(copied).read_bytes()
    said = one_line(fit, copied, resume=True, make=Stateful, lr=1e39)
    assert "step 10: the loss is nan" in said
    assert "the weights of " in said
    assert "are NaN or infinite since step 9; stopped: " in said
    assert "last.safetensors holds the last good state" in said
    assert last(copied).read_bytes() == before
    fit(copied, resume=True, make=Stateful)


def test_weights_that_overflow_where_no_loss_shows_it_are_not_saved(tmp_path):
    class Spoilt(Stateful):
        def loss(self, batch, clock):
            if clock.step >= 5:
                self.idle.data.fill_(float("inf"))
            return super().loss(batch, clock)

    said = one_line(fit, tmp_path, make=Spoilt)
    assert (
        "the weights of algorithm.idle are NaN or infinite at step 8, the last good step known is 4; stopped: "
        in said
    )
    assert load_tensors(last(tmp_path))[1]["progress"]["step"] == 4


def test_weights_of_a_model_that_are_nan_are_called_that():
    said = one_line(
        load_weights,
        torch.nn.Linear(2, 1, bias=False),
        {"weight": torch.tensor([[1.0, float("nan")]])},
        "x",
    )
    assert said.startswith("x: the weights of weight are NaN or infinite")


# --- disks and folders


@pytest.mark.parametrize(
    "limit", [0, 1_500, 4_000, 60_000], ids=["nothing", "journal", "events", "checkpoint"]
)
def test_what_cannot_be_written_is_one_line_and_what_was_saved_resumes_to_the_bit(
    tmp_path, limit, monkeypatch
):
    monkeypatch.setattr(
        "agents.training.logger.console", Console(file=io.StringIO())
    )  # what pytest captures is in a file too
    straight, _ = fit(tmp_path / "straight")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def shrink() -> float:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        return 1.0

    try:
        said = one_line(fit, tmp_path / "run", at=7, happen=shrink)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said.startswith(f"cannot write {tmp_path / 'run'}")
    assert "File too large" in said
    resumed, _ = fit(tmp_path / "run", resume=True)
    assert same(straight, resumed)


def test_a_full_disk_is_one_line_and_with_room_again_it_resumes_to_the_bit(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True
    ).returncode:
        pytest.skip("no file system can be mounted here")

    def fill() -> float:
        with open(disk / "filler", "wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError:
                    return 1.0

    try:
        straight, _ = fit(tmp_path / "straight")
        assert "No space left on device" in one_line(fit, disk / "run", at=6, happen=fill)
        (disk / "filler").unlink()
        resumed, _ = fit(disk / "run", resume=True)
        assert same(straight, resumed)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("step", [7, 8])
def test_a_folder_that_is_deleted_during_the_training_is_one_line(tmp_path, step):
    def delete() -> float:
        shutil.rmtree(tmp_path / "run")
        return 1.0

    assert str(tmp_path / "run") in one_line(fit, tmp_path / "run", at=step, happen=delete)
    assert not (tmp_path / "run").exists()


def test_a_damaged_row_of_the_metrics_is_named_and_a_torn_last_one_dropped(copied):
    path = copied / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": 9, "pha')
    shutil.copytree(copied, copied.parent / "torn")
    fit(copied.parent / "torn", resume=True, make=Stateful)
    for row in (b"3", b"{}", b"\xff", b'{"step": 9, "pha'):
        path.write_bytes(row + b"\n" + whole)
        assert (
            one_line(fit, copied, resume=True, make=Stateful)
            == f"{path}:1: not a row of this file; remove the line"
        )
    path.write_bytes(whole)
    fit(copied, resume=True, make=Stateful)


# --- the helper


def test_a_checksum_sees_names_contents_and_their_order():
    parts = [("a", b"12"), ("b", b"3")]
    others = [
        [("a", b"1"), ("b", b"23")],
        parts[::-1],
        [("a", b"12")],
        [("a", b"12"), ("c", b"3")],
        [("a", b"12"), ("b", b"4")],
    ]
    assert len({checksum(each) for each in [parts, *others]}) == 6


def test_any_changed_byte_of_a_json_file_is_seen(tmp_path):
    path, content = tmp_path / "x.json", {"texts": ["ä b", "c\u2028"], "n": 1.5}
    save_json(path, content)
    assert load_json(path) == content
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(flipped(data, place))
        with suppress(CorruptFileError):
            assert load_json(path) == content  # white space between the fields may change
    for old in (b'["a", "b"]', b"{}", b"3", b"\xff", b""):
        path.write_bytes(old)
        with pytest.raises(CorruptFileError):
            load_json(path)


def test_tensorboard_reads_what_the_metrics_say_after_a_resume_too(copied):
    fit(copied, resume=True, make=Stateful)
    events = EventAccumulator(str(copied / "tensorboard")).Reload()
    rows = [json.loads(line) for line in (copied / "metrics.jsonl").read_text().splitlines()]
    found = {event.step: event.value for event in events.Scalars("student/loss")}
    assert found == {row["step"]: pytest.approx(row["loss"]) for row in rows}
    assert "student/valid_score" in events.Tags()["scalars"]
