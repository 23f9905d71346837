"""The library in Python: the lines of the documentation, every kind of student, and mistakes."""

from __future__ import annotations

import copy
import doctest
import importlib
import re
import signal
import textwrap
from functools import partial
from pathlib import Path

import pytest
import torch

import agents
import textgen_env
from agents.algorithms.bc import BC
from agents.algorithms.ppo import PPO
from agents.training.signals import Interrupted
from support.cases import others_slow
from support.pretrained_models import copier
from support.training import equal_tensors
from textgen_env.errors import UserError
from textgen_env.terminal import console

KINDS = {
    "Transformer": {"layers": 1, "width": 16, "heads": 2, "ffn": 16},
    **{
        name: {"encoder_layers": 1, "decoder_layers": 1, "width": 16, "encoder_width": 8}
        for name in ("GRU", "LSTM", "SRU")
    },
}
QUICK = {"steps": 4, "validations": 2, "batch_tokens": 128, "precision": "float32", "log": False}


def new_model(task, kind="Transformer", **settings):
    return getattr(agents, kind)(task, **KINDS[kind] | settings)


def weights(model):
    return model.policy.state_dict()


@pytest.fixture(scope="module")
def teacher(task):
    return agents.train(new_model(task, seed=7), task, **QUICK)


@pytest.mark.parametrize(
    "name", ["agents.api", "agents.architectures", "textgen_env.tasks.in_memory"]
)
def test_examples_of_the_docstrings(name):
    assert doctest.testmod(importlib.import_module(name), raise_on_error=True).attempted


@pytest.mark.parametrize("kind", others_slow([*KINDS], "GRU"))
def test_the_lines_of_the_documentation(kind, tmp_path, monkeypatch):
    """As they stand, with another task and fewer steps."""
    monkeypatch.chdir(tmp_path)
    lines = textwrap.dedent(
        re.search(r"\n( {4}import agents.*?)\n\S", agents.__doc__ + "\nE", re.S)[1]
    )
    assert len(lines.splitlines()) == 8
    assert {"train", "distill", "generate", "save", "load"} <= {*re.findall(r"\.(\w+)\(", lines)}
    lines = re.sub(r"steps=\d+", "steps=1, log=False", lines).replace(
        "agents.GRU(", f"agents.{kind}("
    )
    lines = lines.replace('"G2P-v0"', '"Copy-v0"').replace('"knowledge"', '"a b"')
    names = {}
    exec(lines, names)
    assert isinstance(names["student"], agents.Model)
    assert agents.load("folder").generate(["a b"]) == names["student"].generate(["a b"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_student_is_distilled_saved_and_loaded(kind, task, teacher, tmp_path):
    before = copy.deepcopy(weights(teacher))
    fresh = new_model(task, kind)
    student = agents.distill(teacher, new_model(task, kind), task, "imitkd", **QUICK)
    assert not equal_tensors(weights(student), weights(fresh))
    assert equal_tensors(weights(teacher), before)
    student.save(tmp_path / "saved")
    loaded = agents.load(tmp_path / "saved")
    texts = task.splits["test"].texts.sources
    assert loaded.generate(texts) == student.generate(texts)
    assert loaded.architecture == student.architecture
    again = agents.train(loaded, task, **QUICK)  # a loaded model can be trained further
    assert again is loaded


def test_equal_seeds_give_equal_tensors(task):
    assert equal_tensors(weights(new_model(task)), weights(new_model(task)))
    assert not equal_tensors(weights(new_model(task)), weights(new_model(task, seed=1)))
    first, second = (agents.train(new_model(task), task, seed=3, **QUICK) for _ in range(2))
    assert equal_tensors(weights(first), weights(second))


def test_an_algorithm_is_a_name_a_class_or_a_partial(task):
    class Own(agents.Algorithm):
        def __init__(self, policy, oracle, scale: float = 1.0):
            super().__init__()
            self.policy, self.oracle, self.scale = policy, oracle, scale

        def loss(self, batch, clock):
            label = self.oracle.action(batch.source, batch.prefix, batch.mask)
            logits = self.policy(batch.source, batch.prefix, batch.mask)
            return self.scale * torch.nn.functional.cross_entropy(logits, label)

    named = agents.train(new_model(task), task, "mle", label_smoothing=0.1, **QUICK)
    for algorithm in (partial(BC, label_smoothing=0.1), "agents.algorithms.bc.BC"):
        settings = {} if isinstance(algorithm, partial) else {"label_smoothing": 0.1}
        other = agents.train(new_model(task), task, algorithm, **settings, **QUICK)
        assert equal_tensors(weights(named), weights(other))
    agents.train(new_model(task), task, Own, scale=0.5, **QUICK)


def test_teachers_of_other_kinds(task, tmp_path):
    exact = agents.distill(task.oracle(), new_model(task), task, "word_kd", **QUICK)
    assert equal_tensors(
        weights(exact), weights(agents.train(new_model(task), task, "word_kd", **QUICK))
    )
    copier(tmp_path / "hf", task.splits["train"].texts.sources, steps=1)
    name = f"hf:{tmp_path / 'hf'}"
    pretrained = agents.load(name)
    fitting = task.with_vocabulary(pretrained.vocabulary)
    student = agents.distill(name, new_model(fitting), fitting, "imitkd_full", **QUICK)
    assert len(student.generate(["a b"])) == 1
    with pytest.raises(UserError, match=r"\(9 tokens.* is not the student's \(9 tokens.*seqkd"):
        agents.distill(pretrained, new_model(task), task, **QUICK)


def test_rewards_and_starts(task, teacher):
    def shortness(task, split, index, action, ended):
        return -1.0

    started = agents.train(copy.deepcopy(teacher), task, "scst", reward=shortness, **QUICK)
    assert started.trained
    with pytest.raises(UserError, match="train it first, for example with algorithm='mle'"):
        agents.train(new_model(task), task, "scst", **QUICK)
    agents.train(new_model(task), task, "scst", cold_start=True, reward="bleu", **QUICK)


def test_training_starts_from_the_weights_of_a_trained_model_and_never_ends_worse(task, teacher):
    before = agents.evaluate(teacher, task, "valid")["accuracy"].value
    after = agents.train(copy.deepcopy(teacher), task, lr=50.0, clip=1e6, warmup=0, **QUICK)
    assert agents.evaluate(after, task, "valid")["accuracy"].value >= before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_from_which_training_resumes(
    number, task, tmp_path, monkeypatch
):
    whole = agents.train(new_model(task), task, folder=tmp_path / "whole", **QUICK)
    loss = BC.loss

    def interrupted(self, batch, clock):
        if clock.step == 1:
            signal.raise_signal(number)
        return loss(self, batch, clock)

    with monkeypatch.context() as patch:
        patch.setattr(BC, "loss", interrupted)
        with pytest.raises(Interrupted, match="after step 2 of 4") as error:
            agents.train(new_model(task), task, folder=tmp_path / "cut", **QUICK)
        assert "resume with: the same call and resume=True" in str(error.value)
        with pytest.raises(Interrupted, match=r"nothing was saved: .* folder="):
            agents.train(new_model(task), task, **QUICK)
    with pytest.raises(UserError, match="resume=True, or name another folder"):
        agents.train(new_model(task), task, folder=tmp_path / "cut", **QUICK)
    again = {"folder": tmp_path / "cut", "resume": True, "label_smoothing": 0.1}
    with pytest.raises(UserError, match="differs in settings"):
        agents.train(new_model(task), task, **again, **QUICK)
    resumed = agents.train(new_model(task), task, folder=tmp_path / "cut", resume=True, **QUICK)
    assert equal_tensors(weights(resumed), weights(whole))
    assert equal_tensors(weights(agents.load(tmp_path / "cut")), weights(whole))


class NotANumber(agents.Algorithm):
    def __init__(self, policy):
        super().__init__()
        self.policy = policy

    def loss(self, batch, clock):
        return self.policy(batch.source, batch.prefix).sum() * float("nan")


MISTAKES = {
    "setting": ({"stesp": 1}, "unknown setting .*did you mean 'steps'"),
    "kind": ({"steps": "many"}, "steps='many': expected an integer"),
    "range": ({"lr": -1.0}, "lr=-1.0: expected a number greater than 0"),
    "algorithm": ({"algorithm": "mel"}, "unknown algorithm 'mel'; did you mean 'mle'"),
    "class": ({"algorithm": print}, "expected a name, a subclass of agents.Algorithm"),
    "epochs": ({"epochs": 2}, "^steps= and epochs=: give one of them$"),
    "no epochs": ({"epochs": 0}, "epochs=0: expected a number greater than 0"),
    "epochs of another kind": ({"epochs": "2"}, "epochs=2: expected a number"),
    "shared epochs": ({"algorithm": "ppo", "epochs": 2}, r"functools.partial\(PPO, epochs=…\)"),
    "shared": ({"algorithm": "ppo", "clip": 1.0}, r"functools.partial\(PPO, clip=…\)"),
    "schedule": ({"schedule": "cosine"}, "unknown learning-rate schedule 'cosine'"),
    "device": ({"device": "gpu"}, "device=gpu is not available here"),
    "infinite": ({"algorithm": NotANumber}, "; stopped: lower lr or clip and train again"),
    "resume": ({"resume": True}, "name the folder of the training"),
    "file": ({"folder": __file__}, "is a file; name a folder"),
}


@pytest.mark.parametrize(("settings", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_one_line(settings, message, task):
    with pytest.raises(UserError, match=message) as error:
        agents.train(new_model(task), task, **{**QUICK, **settings})
    assert "\n" not in str(error.value)


def test_mistakes_about_models_and_teachers_are_one_line(task, teacher, tmp_path):
    other = textgen_env.load_task("Copy-v0", symbols=6, train=50, valid=5, test=5)
    pairs = {name: [("a b", "b a")] for name in ("train", "valid", "test")}
    texts = textgen_env.task_from_pairs(pairs, vocabulary=40, metric="chrf")
    calls = {
        "tokens are not the task's": lambda: agents.train(teacher, other, **QUICK),
        "the teacher's .* tokens": lambda: agents.distill(teacher, new_model(other), other),
        "are the same model": lambda: agents.distill(teacher, teacher, task),
        "teacher: expected a Model": lambda: agents.distill(1, new_model(task), task),
        "needs a teacher: call agents.distill": lambda: agents.train(
            new_model(texts), texts, "imitkd_full", **QUICK
        ),
        "outputs of a Model as teacher: call": lambda: agents.train(
            new_model(texts), texts, "seqkd", **QUICK
        ),
        "no run folder at": lambda: agents.load(tmp_path / "none"),
        "unknown setting of gru 'widht'; did you mean 'width'": lambda: agents.GRU(task, widht=8),
        "unknown setting of gru 'cell'": lambda: agents.GRU(task, cell="lstm"),
        "width='8': expected an integer": lambda: agents.GRU(task, width="8"),
        "unknown split 'tset'": lambda: agents.evaluate(teacher, task, "tset"),
        "unknown option of Copy-v0 'symbol'": lambda: textgen_env.load_task("Copy-v0", symbol=3),
    }
    for message, call in calls.items():
        with pytest.raises(UserError, match=message) as error:
            call()
        assert "\n" not in str(error.value)


def test_a_partial_separates_settings_of_one_name(task):
    algorithm = partial(PPO, clip=0.1, cold_start=True)
    agents.train(new_model(task), task, algorithm, clip=1.0, reward="accuracy", **QUICK)


def test_messages_can_be_switched_off(task):
    with console.capture() as captured:
        agents.train(new_model(task), task, **QUICK)
    assert captured.get() == ""
    with console.capture() as captured:
        agents.train(new_model(task), task, **QUICK | {"log": True})
    assert "4/4" in captured.get()


def test_scores_have_intervals_and_any_vocabulary_may_generate(task, teacher):
    (score,) = agents.evaluate(teacher, task).values()
    assert score.low <= score.value <= score.high
    assert "nrefs:1" in score.signature
    pairs = {name: [("a b", "a b"), ("c", "c")] for name in ("train", "valid", "test")}
    texts = textgen_env.task_from_pairs(pairs, vocabulary=40, metric="accuracy")
    assert texts.vocabulary.fingerprint != teacher.vocabulary.fingerprint
    assert agents.evaluate(teacher, texts, rows=1)["accuracy"].value in (0, 100)


def test_own_text_from_a_folder(tmp_path):
    for split in ("train", "valid", "test"):
        for suffix, text in (("de", "ein Haus steht hier"), ("en", "a house stands here")):
            Path(tmp_path, f"{split}.{suffix}").write_text(f"{text}\n{text} heute\n")
    task = textgen_env.load_task("ParallelText-v0", data_dir=str(tmp_path), vocabulary=60)
    model = agents.train(new_model(task), task, **QUICK)
    assert len(model.generate(["ein Haus"])) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"valid": ...}, "expected train, valid, test, got train, test"),
        ({"test": []}, "split 'test' has no pairs"),
        ({"train": ["text"]}, "train pair 0: expected"),
        ({"train": [("a", "b"), ("a", 1)]}, "train pair 1: expected"),
        ({"train": [("a", ())]}, "train pair 0: expected"),
        ({"metric": "blue"}, "unknown metric 'blue'"),
        ({"vocabulary": 0}, "vocabulary=0: expected a number"),
        ({"metric": "bleu"}, "no validation reference has 4 tokens.* pass metric='chrf'"),
    ],
)
def test_malformed_pairs_are_refused(change, message):
    arguments = {name: [("ein Haus", "a house")] for name in ("train", "valid", "test")}
    arguments |= {"metric": "chrf", "vocabulary": 60} | change
    settings = {name: arguments.pop(name) for name in ("metric", "vocabulary")}
    splits = {name: pairs for name, pairs in arguments.items() if pairs is not ...}
    with pytest.raises(UserError, match=message):
        textgen_env.task_from_pairs(splits, **settings)
