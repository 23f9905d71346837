"""A Hugging Face model as a policy that is trained: its weights, and what it refuses."""

from __future__ import annotations

import itertools
import json
import os
import shutil

import pytest
import torch
import transformers
from safetensors import safe_open

from agents.discovery import ALGORITHM, settings
from agents.generation.decoding import greedy
from agents.model import build_policy
from agents.policies.pretrained import load_pretrained
from agents.policies.saving import save_files, save_weights
from agents.runs.training import make_algorithm, training_reward
from agents.training.checkpoint import load_tensors, load_weights, save_tensors
from agents.training.config import TrainConfig
from agents.training.saving import Checkpoints
from agents.training.trainer import train_policy
from support.learners import ALGORITHMS, make
from support.pretrained_models import FAMILIES
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.types import LOG_ZERO

TRAINED = ["marian", "gpt2"]  # with dropout; an encoder-decoder and a causal model
SOURCE, PREFIX = torch.tensor([[5, 6, 7, 2]]), torch.tensor([[1, 8, 9]])


def equal(first, second) -> bool:
    return first.keys() == second.keys() and all(map(torch.equal, first.values(), second.values()))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_weights_are_saved_once_and_stay_tied(family, folders, tmp_path):
    """In a checkpoint, and in the folder that transformers opens."""
    policy = load_pretrained(str(folders[family]))
    with torch.no_grad():
        for weight in policy.parameters():
            weight += torch.randn_like(weight) * 0.1 * weight.requires_grad
    logits = policy(SOURCE, PREFIX)
    save_tensors(tmp_path / "weights.safetensors", policy.state_dict(), {})
    tensors, _ = load_tensors(tmp_path / "weights.safetensors")
    pointers = [tensor.data_ptr() for tensor in policy.state_dict().values()]
    assert len(pointers) == len(set(pointers))

    save_files(policy, tmp_path / "model")
    again = load_pretrained(folder=tmp_path / "model")
    load_weights(again, tensors, "weights")
    torch.testing.assert_close(again(SOURCE, PREFIX), logits)
    names = [name for name, _ in policy.named_parameters()]
    assert names == [name for name, _ in again.named_parameters()]  # without duplicates

    save_weights(policy, tmp_path / "model")
    torch.testing.assert_close(load_pretrained(str(tmp_path / "model"))(SOURCE, PREFIX), logits)
    assert transformers.AutoConfig.from_pretrained(tmp_path / "model").architectures
    with safe_open(tmp_path / "model" / "model.safetensors", "pt") as file:
        sizes = [file.get_tensor(name).numel() for name in file.keys()]  # noqa: SIM118
    buffers = sum(buffer.numel() for name, buffer in policy.model.named_buffers())
    assert sum(sizes) <= sum(weight.numel() for weight in policy.parameters()) + buffers


def test_what_transformers_never_trains_is_never_trained(folders):
    policy = load_pretrained(str(folders["marian"]))
    frozen = {name for name, weight in policy.named_parameters() if not weight.requires_grad}
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in frozen} == {"embed_positions"}
    policy.requires_grad_(False).requires_grad_(True)
    assert frozen == {
        name for name, weight in policy.named_parameters() if not weight.requires_grad
    }


def test_random_weights_depend_on_the_seed_alone(folders, task):
    vocabulary = load_pretrained(str(folders["t5"])).vocabulary
    options = {"path": str(folders["t5"]), "init": "random", "layers": 1}
    first, again, other = (
        build_policy("hf", options, vocabulary, seed).state_dict() for seed in (1, 1, 2)
    )
    assert equal(first, again)
    assert not equal(first, other)
    pretrained = build_policy("hf", options | {"init": "pretrained"}, vocabulary, 1).state_dict()
    assert {name: weight.shape for name, weight in pretrained.items()} == {
        name: weight.shape for name, weight in first.items()
    }


@pytest.mark.parametrize("family", TRAINED)
def test_weights_in_bfloat16(family, folders, tmp_path):
    policy = load_pretrained(str(folders[family]), dtype="bfloat16")
    assert {weight.dtype for weight in policy.parameters()} == {torch.bfloat16}
    exact, logits = load_pretrained(str(folders[family]))(SOURCE, PREFIX), policy(SOURCE, PREFIX)
    save_files(policy, tmp_path)
    assert transformers.AutoConfig.from_pretrained(tmp_path).dtype == torch.bfloat16
    possible = exact > LOG_ZERO
    assert (logits - exact)[possible].abs().max() < 0.1 * exact[possible].abs().max()


def test_generation_suppresses_what_the_policy_never_generates(folders, tmp_path):
    """T5 has an output layer that is wider than its vocabulary."""
    policy = load_pretrained(str(folders["t5"]))
    save_files(policy, tmp_path)
    suppressed = json.loads((tmp_path / "generation_config.json").read_text())["suppress_tokens"]
    size = policy.model.config.vocab_size
    assert {*suppressed} >= {*range(size - 7, size)}
    generated = policy.ids[[t for t in range(len(policy.ids)) if t not in policy.missing]]
    assert {*suppressed, *generated.tolist()} == {*range(size)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "path=null: name a model folder or a model on the Hub"),
        ({"path": "./nowhere"}, "hf:./nowhere: no such folder"),
        ({"path": "hf:gpt2"}, "leave it out here"),
        ({"path": __file__}, "it is a file; give the folder of the model"),
        ({"path": "gpt2", "layers": 3}, "layers=3: it has 2; choose 1 to 2"),
        ({"path": "gpt2", "decoder_layers": 1}, "decoder_layers=1: only an encoder-decoder has it"),
        ({"path": "marian", "separator": ":"}, "separator is only for decoder-only models"),
        ({"path": "gpt2", "dtype": "float16"}, "unknown dtype 'float16'"),
        ({"path": "gpt2", "init": "zeros"}, "unknown init 'zeros'"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_in_one_line(options, message, folders):
    if options.get("path") in folders:
        options = options | {"path": str(folders[options["path"]])}
    with pytest.raises(UserError) as error:
        load_pretrained(**options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_weights_are_refused_by_name(folders, tmp_path):
    folder = shutil.copytree(folders["gpt2"], tmp_path / "model")
    os.truncate(folder / "model.safetensors", 1000)
    with pytest.raises(UserError, match=r"model.safetensors is incomplete or damaged .*download"):
        load_pretrained(str(folder))


def test_another_vocabulary_is_refused(folders, task):
    with pytest.raises(UserError, match="which are not the 9 tokens of the task"):
        build_policy("hf", {"path": str(folders["gpt2"])}, task.vocabulary, 0)


class KilledError(Exception):
    """Stands for the end of the process."""


def student_and_oracle(path, task):
    student = load_pretrained(str(path)).train()
    teacher = load_pretrained(str(path))
    vocabulary = student.vocabulary
    return student, PolicyOracle(teacher, greedy, vocabulary, task.vocabulary)


def fit(path, task, folder, die_at=None, resume=False):
    """Train; return the last checkpoint. Validation number ``die_at`` raises KilledError."""
    (student, oracle), calls = student_and_oracle(path, task), itertools.count(1)

    def validate():
        if next(calls) == die_at:
            raise KilledError
        return {"valid_score": 0.0}

    config = TrainConfig(6, lr=0.01, warmup=2, validations=3, resume=resume)
    batches = Batches(task.splits["train"], 60, 0, task.limit)
    checkpoints = Checkpoints(folder, "student", {})
    algorithm = make("imitkd_full", task, student, oracle)
    train_policy(algorithm, student, batches, validate, config, checkpoints)
    return load_tensors(checkpoints.last)[0]


@pytest.mark.parametrize("family", TRAINED)
def test_a_killed_and_resumed_training_ends_with_the_same_bits(family, folders, task, tmp_path):
    """With dropout, which the models have by default."""
    model = load_pretrained(str(folders[family]))
    assert any(module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)) or (
        model.model.config.dropout
    )
    task = task.with_vocabulary(model.vocabulary)
    uninterrupted = fit(folders[family], task, tmp_path / "uninterrupted")
    with pytest.raises(KilledError):
        fit(folders[family], task, tmp_path / "killed", die_at=2)
    assert equal(uninterrupted, fit(folders[family], task, tmp_path / "killed", resume=True))


@pytest.mark.slow
@pytest.mark.parametrize("family", TRAINED)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_trains_such_a_student(name, family, folders, task, tmp_path):
    task = task.with_vocabulary(load_pretrained(str(folders[family])).vocabulary)
    student, oracle = student_and_oracle(folders[family], task)
    if "exact" in settings(ALGORITHMS[name], ALGORITHM).values():
        pytest.skip("needs the exact expert of a task, which has other tokens")
    function, reward = ALGORITHMS[name], training_reward("expert_logprob", task, oracle)
    algorithm = make_algorithm(function.func, function.keywords, student, oracle, reward)
    before = {key: weight.clone() for key, weight in student.state_dict().items()}
    train_policy(
        algorithm,
        student,
        Batches(task.splits["train"], 60, 0, task.limit),
        lambda: {"valid_score": 0.0},
        TrainConfig(2, lr=0.01, warmup=0, validations=1),
        Checkpoints(tmp_path, "student", {}),
    )
    assert not equal(before, student.state_dict())
