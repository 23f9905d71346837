"""Loading a pretrained teacher, and the models that cannot be one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import cli
from agents.generation.decoding import greedy
from agents.policies.pretrained import load_pretrained
from agents.runs.machine import resolve_machine
from agents.runs.task import build_task
from agents.runs.teacher import find_teacher
from textgen_env.errors import UserError
from textgen_env.oracles.policy import PolicyOracle


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("settings", "before_target"),
    [
        ({}, [2, 0]),  # </s>, then <s>, which its tokenizer prepends to every text
        ({"forced_bos_token_id": 7}, [2, 7]),  # a target language
        ({"decoder_start_token_id": 0}, [0]),  # <s> only once
    ],
    ids=str,
)
def test_decoder_input_before_the_first_action(settings, before_target, copied):
    folder = copied("bart")
    edit(folder / "generation_config.json", **settings)
    assert load_pretrained(str(folder)).before_target.tolist() == before_target


def test_tasks_with_too_few_positions_are_rejected(folders):
    """Each model has 128 positions; the last action is never an input."""
    policy = load_pretrained(str(folders["bart"]), source_prefix="a man")
    extra = len(policy.before_source)
    policy.check_limits(128 - extra, 127)  # the decoder also gets its start token and <s>
    for limits in ((128 - extra + 1, 20), (20, 128)):
        with pytest.raises(UserError, match="128 positions but the task needs 129"):
            policy.check_limits(*limits)
    policy = load_pretrained(str(folders["gpt2"]))
    policy.check_limits(64, 65)
    with pytest.raises(UserError, match="needs 129"):
        policy.check_limits(65, 65)
    load_pretrained(str(folders["t5"])).check_limits(10_000, 10_000)


def test_a_student_with_another_vocabulary_is_rejected(folders, task):
    policy = load_pretrained(str(folders["gpt2"]))
    with pytest.raises(UserError, match="is not the student's"):
        PolicyOracle(policy, greedy, policy.vocabulary, task.vocabulary)
    task = task.with_vocabulary(policy.vocabulary)
    assert task.oracle is None
    valid = task.splits["valid"]
    assert [task.vocabulary.decode(row) for row in valid.target] == valid.texts.sources


# Models that cannot be a teacher


def pickle_only(folder: Path) -> None:
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def not_causal(folder: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 16}
    config = transformers.BertConfig(vocab_size=60, initializer_range=1.0, **sizes)
    transformers.BertLMHeadModel(config).save_pretrained(folder)


def several_tokens(folder: Path) -> None:
    edit(folder / "config.json", model_type="prophetnet")


def vision_model(folder: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.ViTConfig(intermediate_size=16, **sizes)
    transformers.ViTModel(config).save_pretrained(folder)


def slow_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    transformers.ByT5Tokenizer().save_pretrained(folder)


def larger_tokenizer(folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"word{i}" for i in range(20)])
    tokenizer.save_pretrained(folder)


def another_eos(folder: Path) -> None:
    edit(folder / "generation_config.json", eos_token_id=[7, 8])


def missing_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.h.1.mlp.c_fc.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def truncated_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("bart", pickle_only, "it has no safetensors weights"),
        ("t5", not_causal, "a bert model cannot be used: it attends to later tokens"),
        ("t5", several_tokens, "a prophetnet model cannot be used: it predicts several tokens"),
        ("t5", vision_model, "config.json: model_type='vit' is not a supported text model"),
        ("t5", slow_tokenizer, "only a slow tokenizer (ByT5Tokenizer)"),
        ("t5", larger_tokenizer, "tokenizer and model do not match: the tokenizer has ids up to"),
        ("gpt2", another_eos, "EOS is 0 in the tokenizer, [7, 8] in the model"),
        ("gpt2", missing_weights, "its weights lack transformer.h.1.mlp.c_fc.weight"),
        ("gpt2", truncated_weights, "header"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_unusable_models_are_rejected_in_one_line(
    family: str, change: Callable[[Path], None], message: str, copied
):
    folder = copied(family)
    change(folder)
    with pytest.raises(UserError) as error:
        load_pretrained(str(folder))
    assert str(error.value).startswith(f"hf:{folder}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


# On the command line


def command_error(overrides: list[str], monkeypatch, capsys) -> str:
    """The error line of a command that loads the teacher; its exit code must be 2."""
    # huggingface_hub reads the environment variable when it is imported
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(sys, "argv", ["dagger.py", "env=Copy-v0", "env.train=20", *overrides])
    with pytest.raises(SystemExit) as stop:
        cli.run(
            lambda config: find_teacher(config, build_task(config), resolve_machine(config)),
            "dagger",
        )
    assert stop.value.code == 2
    stderr = capsys.readouterr().err
    errors = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["teacher.path=hf:"], "teacher.path=hf: names no model; write hf:NAME or hf:FOLDER"),
        (["teacher.path=hf:./nowhere"], "hf:./nowhere: no such folder"),
        (
            ["teacher.path=hf:nobody/nothing"],
            "no folder of that name, and HF_HUB_OFFLINE is set: run `hf download nobody/nothing`",
        ),
        (
            ["teacher.path=hf:{t5}", "teacher.separator=:"],
            "separator is only for decoder-only models",
        ),
        (["teacher.path=hf:{gpt2}", "env.horizon=200"], "lower env.source_limit or env.horizon"),
    ],
)
def test_wrong_overrides_are_rejected_in_one_line(overrides, message, folders, monkeypatch, capsys):
    overrides = [override.format(**folders) for override in overrides]
    assert message in command_error(overrides, monkeypatch, capsys)


def test_missing_transformers_is_reported_with_its_extra(folders, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "transformers", None)
    message = command_error([f"teacher.path=hf:{folders['gpt2']}"], monkeypatch, capsys)
    assert "pip install -e '.[hf]'" in message


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("source_prefix", "translate German to English: ", "translate German to English: "),
        ("separator", ":", ":"),
        ("separator", '"[SEP]"', "[SEP]"),  # without quotes a list
    ],
)
def test_text_overrides_arrive_unchanged(key, value, text):
    config = cli.read("dagger", ["teacher.path=hf:gpt2", f"teacher.{key}={value}"])
    assert config.teacher[key] == text
