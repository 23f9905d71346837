"""Keys without an effect are refused, and so are several processes."""

from __future__ import annotations

import re

import pytest

import compare
from cli import idle, read_given
from cli.planning import passing
from support.refused import never, refused
from textgen_env.errors import UserError


@pytest.mark.parametrize(
    ("command", "words", "reason"),
    [
        *(
            (
                "dagger",
                [f"teacher.path={path}", word],
                f"the teacher comes from teacher.path={path}",
            )
            for path in ("RUN", "hf:gpt2")
            for word in (
                "teacher.layers=3",
                "teacher.train.steps=5",
                "teacher.label_smoothing=0",
                "teacher=gru",
            )
        ),
        ("dagger", ["teacher.path=RUN", "teacher.separator=x"], "only teacher.path=hf:… uses it"),
        ("dagger", ["teacher.source_prefix=x"], "only teacher.path=hf:… uses it"),
        ("dagger", ["env=Copy-v0", "teacher.train.steps=5"], "teacher=exact is not trained"),
        ("dagger", ["env=Copy-v0", "teacher.label_smoothing=0.1"], "teacher=exact is not trained"),
        *(
            ("dagger", [f"{group}=gru", f"{key}.checkpointing=true"], reason)
            for group, key, reason in (
                ("student", "train", "it has an effect only with student=transformer"),
                ("teacher", "teacher.train", "only teacher=transformer uses it"),
            )
        ),
        ("generate", ["length_penalty=2"], "it has an effect only with beam=2 or more"),
        ("generate", ["samples=2", "keep=2"], "it has an effect only with beam=2 or more"),
        ("dagger", ["train.steps=5", "train.epochs=2"], "train.epochs=2 replaces it"),
        ("dagger", ["reward=bleu"], "algorithm=imitkd_full uses no reward"),
        ("dagger", ["reward=bleu", "algorithm=mle"], "algorithm=mle uses no reward"),
        (
            "dagger",
            ["env.data_dir=x", "env.bundled_pairs=5"],
            "the corpus comes from env.data_dir",
        ),
        ("dagger", ["env.data_dir=x", "env.hub=a/b"], "the corpus comes from env.data_dir"),
        ("dagger", ["env.data=x", "env.bundled_pairs=5"], "the corpus comes from env.data"),
        ("dagger", ["env.data=hub:a/b", "env.hub=a/b"], "the corpus comes from env.data"),
        ("dagger", ["env.corpus=bundled", "env.hub=a/b"], "env.corpus=bundled does not use it"),
        ("dagger", ["env.hub=a/b"], "env.corpus=auto does not use it, but env.corpus=hub does"),
        ("dagger", ["preset=base", "env.bundled_pairs=5"], "env.corpus=real does not use it"),
        (
            "dagger",
            ["env=ParallelText-v0", "env.metric=rouge", "env.bleu_tokenizer=char"],
            "it has an effect only with env.metric=bleu",
        ),
        ("dagger", ["env.corpus=hub", "env.bundled_pairs=5"], "env.corpus=hub does not use it"),
        ("interop", ["trainer=sb3_a2c", "epochs=5"], "trainer=sb3_a2c uses each step once"),
        ("t2_bound", ["neural=false", "neural_seeds=3"], "neural=false trains no student"),
        ("bench", ['memory=["seed=1"]'], "it has an effect only with suite=memory"),
        *(
            ("bench", [word], "it has an effect only with suite=beam")
            for word in ("run=RUN", "rows=5")
        ),
        *(
            ("bench", ["suite=[env]", word], "it has an effect only with suite=")
            for word in ("sizes=[2+2]", "batch=5", "steps=5")
        ),
        (
            "dagger",
            ["algorithm=imitkd_full", "algorithm.relabel=all"],
            "it has an effect only with algorithm.labels=action",
        ),
        (
            "dagger",
            ["algorithm=imitkd_full", "algorithm.label_smoothing=0.1"],
            "it has an effect only with algorithm.labels=action",
        ),
        (
            "dagger",
            ["algorithm.labels=distribution", "algorithm.label_smoothing=0"],
            "it has an effect only with algorithm.labels=action",
        ),
        (
            "dagger",
            ["algorithm=imitkd", "algorithm.label_top_k=3"],
            "it has an effect only with algorithm.labels=distribution",
        ),
        *(
            (
                "dagger",
                ["algorithm=aggrevated_exact", word],
                "it has an effect only with algorithm.cost_to_go=roll_out",
            )
            for word in ("algorithm.actions=7", "reward=bleu")
        ),
        *(
            (
                "dagger",
                ["algorithm=gkd", f"algorithm.divergence={name}", "algorithm.beta=0.3"],
                "it has an effect only with algorithm.divergence=jsd",
            )
            for name in ("forward_kl", "reverse_kl", "total_variation")
        ),
        *(
            (
                "dagger",
                ["algorithm=gold", f"algorithm.{word}"],
                "it has an effect only with algorithm.credit=product",
            )
            for word in ("floor=0.2", "log_floor=-3", "window=2", "discount=0.9")
        ),
        (
            "dagger",
            ["algorithm=gold_s", "algorithm.log_floor=-3"],
            "it has an effect only with algorithm.credit=product",
        ),
        *(
            (
                "dagger",
                ["algorithm=imitkd", "algorithm.label_top_k=5", f"algorithm.{word}"],
                "it has an effect only with algorithm.labels=distribution",
            )
            for word in ("tail=bucket", "nll=0.1")
        ),
        (
            "dagger",
            ["algorithm=gkd", "algorithm.tail=bucket"],
            "it has an effect only with algorithm.label_top_k=1 or more",
        ),
        (
            "dagger",
            ["evaluate.beam=1", "evaluate.length_penalty=0.6"],
            "it has an effect only with evaluate.beam=2 or more",
        ),
        ("show", ["length_penalty=0.3"], "it has an effect only with beam=2 or more"),
        *(
            (
                command,
                ["beams=[1]", "length_penalty=0.3"],
                "it has an effect only with beams=2 or more",
            )
            for command in ("speed", "compare")
        ),
        *(
            (
                "dagger",
                ["teacher=transformer", f"algorithm={name}", "teacher.length_penalty=0.6"],
                f"algorithm={name} uses no demonstrations of the teacher",
            )
            for name in ("mle", "imitkd_full", "gkd")
        ),
        (
            "dagger",
            ["teacher.path=RUN", "teacher.length_penalty=0.6"],
            "algorithm=imitkd_full uses no",
        ),
        (
            "dagger",
            ["teacher=exact", "algorithm=seqkd", "teacher.length_penalty=0.6"],
            "teacher=exact has no beam search",
        ),
    ],
)
def test_a_key_without_effect_is_refused(command, words, reason):
    with pytest.raises(UserError, match=f"does not apply: {re.escape(reason)}") as error:
        read_given(command, words)
    assert str(error.value).split()[0] in {word.partition("=")[0] for word in words}


@pytest.mark.parametrize(
    "words",
    [
        ["env=Copy-v0", "teacher.path=RUN"],  # the preset's teacher=exact is not the user's
        ["preset=paper", "teacher.path=RUN"],
        ["teacher.path=RUN", "teacher.compile=true"],
        ["teacher.path=hf:t5", "teacher.source_prefix=x", "teacher.separator=y"],
        ["algorithm=reinforce", "reward=bleu"],
        ["env.corpus=bundled", "env.bundled_pairs=50"],
        ["teacher=gru", "teacher.width=32", "teacher.train.steps=5"],
        ["algorithm=imitkd", "algorithm.relabel=all", "algorithm.label_smoothing=0.1"],
        ["algorithm=imitkd", "algorithm.labels=distribution", "algorithm.label_top_k=3"],
        ["algorithm=bc", "algorithm.label_smoothing=0.1"],
        ["algorithm=lols", "algorithm.actions=7"],
        ["algorithm=aggrevated", "algorithm.actions=7", "algorithm.beta=linear", "reward=bleu"],
        ["algorithm=gkd", "algorithm.beta=0.3"],
        [
            "algorithm=gold_p",
            "algorithm.floor=0.2",
            "algorithm.log_floor=-3",
            "algorithm.window=2",
            "algorithm.discount=0.9",
        ],
        ["algorithm=gold_s", "algorithm.floor=0.2"],
        ["evaluate.beam=2", "evaluate.length_penalty=0.6"],
        *(
            ["teacher=gru", f"algorithm={name}", "teacher.length_penalty=0.6"]
            for name in ("seqkd", "seqinter", "imitkd_star")
        ),
        ["algorithm=imitkd", "algorithm.demonstrations=best_of_beam", "teacher.length_penalty=0.6"],
        [
            "env=CNNDM-v0",
            "preset=paper",
            "algorithm=dagger",
            "algorithm.labels=distribution",
        ],  # the preset's label smoothing
    ],
)
def test_a_key_with_an_effect_is_accepted(words):
    read_given("dagger", words)


@pytest.mark.parametrize(
    ("word", "user", "other"),
    [
        ("algorithm.relabel=all", "imitkd", "imitkd_full"),
        ("algorithm.label_top_k=3", "imitkd_full", "imitkd"),
        ("algorithm.actions=7", "aggrevated", "aggrevated_exact"),
        ("algorithm.floor=0.2", "gold_p", "gold"),
        ("teacher.length_penalty=0.6", "seqinter", "mle"),
        ("reward=bleu", "aggrevated", "aggrevated_exact"),
    ],
)
def test_a_comparison_passes_a_key_only_to_runs_that_use_it(word, user, other):
    assert passing([word], user, "transformer") == [word]
    assert passing([word], other, "transformer") == []


@pytest.mark.parametrize("word", ["reward=bleu", "algorithm.samples=2"])
def test_a_comparison_refuses_a_key_that_no_run_uses(monkeypatch, capsys, word):
    words = ["env=Copy-v0", "algorithms=[mle,imitkd]", word]
    message = refused(monkeypatch, capsys, compare.main, "compare", *words)
    assert message.startswith(f"error: {word}: none of these runs has such a key")


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}, "WORLD_SIZE=2"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "OMPI_COMM_WORLD_SIZE=4"),
        ({"PMI_SIZE": "4"}, "PMI_SIZE=4"),
        (
            {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"},
            "SLURM_STEP_NUM_TASKS=2",
        ),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, "SLURM_NTASKS=2"),
        ({}, ""),
        ({"WORLD_SIZE": "1", "RANK": "0"}, ""),
        ({"SLURM_NTASKS": "4"}, ""),  # the shell of an allocation
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, ""),  # the script of a batch job
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1"}, ""),
    ],
)
def test_several_processes_are_refused(monkeypatch, capsys, environment, variable):
    if not variable:
        idle.check_single_process(environment)
        return
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    message = refused(monkeypatch, capsys, never, "dagger")
    assert message.startswith(f"error: {variable}: each of ")
