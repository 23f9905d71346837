"""A teacher with another vocabulary exchanges only texts with the student."""

from __future__ import annotations

import inspect
import json
from functools import partial
from pathlib import Path

import pytest
import torch

import agents
import dagger
import exposure_bias
import score
import show
import speed
from agents.algorithms.seqinter import SeqInter
from agents.generation.demonstrations import BEAM
from agents.runs.demonstrations import training_demonstrations
from agents.runs.oracles import policy_oracle
from agents.runs.training import check_oracle
from support.commands import CPU, TINY_RUN, TRAINED_TEACHER, run_in_process
from support.copy_runs import COPY, QUICK, results, run, student
from support.learners import ALGORITHMS, batch_of, first_loss, make, small_policy
from support.pretrained_models import copier
from support.training import equal_tensors
from textgen_env.errors import UserError
from textgen_env.oracles.texts import TextOracle


@pytest.fixture(scope="module")
def pretrained(task, tmp_path_factory):
    """A model that repeats its source; its tokens are those of Copy-v0 in another order."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pretrained")
    return copier(folder, task.splits["train"].texts.sources, steps=200)


def test_a_student_with_its_own_tokens_learns_from_texts(pretrained, task, empty_workspace):
    teacher = [f"teacher.path=hf:{pretrained}", "teacher.share_vocabulary=false"]
    output = run(dagger, *COPY, *teacher, "algorithm=seqkd", "out=run")
    model = agents.load(f"hf:{pretrained}")
    assert model.vocabulary.fingerprint != task.vocabulary.fingerprint
    assert model.vocabulary.fingerprint in output
    expected = agents.evaluate(model, task, rows=12)["accuracy"].value
    assert results("run")["scores"]["teacher"]["accuracy"] == expected > 0
    assert results("run")["speed"]["speedup"] > 0
    for command, key in ((exposure_bias, "run=[run]"), (show, "run=run")):
        message = run(command, key, *CPU, code=2)
        assert f"{command.__name__}.py queries the teacher token by token" in message
    run_in_process(speed, "run=run", "batch_sizes=[4]", "threads=[1]", "rounds=1", "rows=4", *CPU)
    run_in_process(score, "run=run", "teacher=true", "rows=12", "out=scores", *CPU)
    scores = json.loads(Path("scores/scores.json").read_text())["scores"]
    assert scores["teacher"]["accuracy"] == expected


@pytest.mark.parametrize(
    "overrides",
    [
        ["algorithm=imitkd_full"],
        ["algorithm=reinforce", "algorithm.cold_start=true", "reward=expert_logprob_mean"],
        ["algorithm=reinforce", "algorithm.cold_start=true"],  # the reward of the task is zero_one
    ],
)
def test_queries_token_by_token_are_refused_before_the_run(
    overrides, pretrained, task, empty_workspace
):
    teacher = [f"teacher.path=hf:{pretrained}", "teacher.share_vocabulary=false", "out=run"]
    message = run(dagger, *COPY, *teacher, *overrides, code=2)
    own = agents.load(f"hf:{pretrained}").vocabulary
    advice = "reward=bleu" if "algorithm=reinforce" in overrides else "seqinter, seqkd"
    for part in (own.fingerprint, task.vocabulary.fingerprint, f"hf:{pretrained}", advice):
        assert part in message
    assert not Path("run").exists()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_constructor_decides_whether_texts_are_enough(name, task):
    """An algorithm without a parameter oracle makes no queries."""
    function, oracle = ALGORITHMS[name].func, TextOracle(len(task.vocabulary), "it has only texts")
    if "oracle" in inspect.signature(function).parameters:
        with pytest.raises(UserError, match=f"^algorithm={name} queries .*seqinter, seqkd"):
            check_oracle(name, function, "accuracy", oracle)
    else:
        check_oracle(name, function, "accuracy", oracle)
        first_loss(make(name, task, small_policy(task), oracle), batch_of(task))


def test_demonstrations_are_the_texts_of_the_teacher(pretrained, task):
    model = agents.load(f"hf:{pretrained}")
    oracle = policy_oracle(model.policy, model.vocabulary, task, 1.0)
    split = training_demonstrations("teacher", task, oracle, "float32", "cpu").split
    texts = model.generate(task.splits["train"].texts.sources, beam=BEAM)
    targets = [task.vocabulary.decode(target) for target in split.target]
    compared = [pair for pair in zip(targets, texts, strict=True) if pair[0]]
    assert len(compared) > 100
    assert all(target == text for target, text in compared)


@pytest.mark.parametrize("algorithm", ["seqkd", partial(SeqInter, cold_start=True)])
def test_distill_takes_a_model_with_other_tokens(algorithm, pretrained, task):
    trained = agents.distill(f"hf:{pretrained}", student(task), task, algorithm, **QUICK)
    assert not equal_tensors(trained.policy.state_dict(), student(task).policy.state_dict())


@pytest.mark.slow
def test_the_student_of_a_run_with_another_vocabulary_teaches(empty_workspace):
    text = ["env=IWSLT-v0", "env.corpus=bundled", "env.bundled_pairs=120", "env.horizon=24"]
    long = [word for word in TINY_RUN if not word.startswith("train.steps")]
    long += ["train.steps=15", "train.lr=0.05", "train.warmup=1"]  # enough for outputs to end
    long += [*TRAINED_TEACHER, "env.vocabulary=300", "algorithm=mle"]
    run(dagger, *text, *long, "out=teacher")
    words = [*text, *TINY_RUN, "teacher.path=teacher", "env.vocabulary=200"]
    message = run(dagger, *words, "algorithm=imitkd", "out=no", code=2)
    assert "(teacher) (300 tokens" in message
    assert "200 tokens" in message
    output = run(dagger, *words, "algorithm=seqkd", "out=run")
    assert "teacher: exchanges texts" in output
    assert results("run")["scores"].keys() == {"teacher", "student"}
