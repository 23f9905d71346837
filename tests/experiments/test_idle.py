"""A key that has no effect beside the other choices is refused, and so are several processes."""

from __future__ import annotations

import pytest

import compare
import idle
from cli import read_given
from compare import passing
from support.refused import never, refused


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
        ("dagger", ["reward=bleu"], "algorithm=imitkd_full uses no reward"),
        ("dagger", ["reward=bleu", "algorithm=mle"], "algorithm=mle uses no reward"),
        (
            "dagger",
            ["env.data_dir=x", "env.bundled_pairs=5"],
            "the corpus comes from env.data_dir",
        ),
        ("dagger", ["env.data_dir=x", "env.hub=a/b"], "the corpus comes from env.data_dir"),
        ("dagger", ["env.corpus=bundled", "env.hub=a/b"], "env.corpus=bundled does not use it"),
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
def test_a_key_that_changes_nothing_is_refused(
    monkeypatch, capsys, command: str, words: list[str], reason: str
) -> None:
    message = refused(monkeypatch, capsys, never, command, *words)
    assert f"does not apply: {reason}" in message
    assert message.split()[1] in {word.partition("=")[0] for word in words}


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
def test_a_key_that_changes_something_is_taken(words: list[str]) -> None:
    read_given("dagger", words)


@pytest.mark.parametrize(
    ("word", "read_by", "not_by"),
    [
        ("algorithm.relabel=all", "imitkd", "imitkd_full"),
        ("algorithm.label_top_k=3", "imitkd_full", "imitkd"),
        ("algorithm.actions=7", "aggrevated", "aggrevated_exact"),
        ("algorithm.floor=0.2", "gold_p", "gold"),
        ("teacher.length_penalty=0.6", "seqinter", "mle"),
        ("reward=bleu", "aggrevated", "aggrevated_exact"),
    ],
)
def test_compare_leaves_a_key_out_where_it_changes_nothing(
    word: str, read_by: str, not_by: str
) -> None:
    assert passing([word], read_by, "transformer") == [word]
    assert passing([word], not_by, "transformer") == []


def test_compare_refuses_a_key_that_no_run_has_a_use_for(monkeypatch, capsys) -> None:
    assert passing(["reward=bleu"], "mle", "transformer") == []
    assert passing(["reward=bleu"], "reinforce", "transformer") == ["reward=bleu"]
    for word in ("reward=bleu", "algorithm.samples=2"):
        message = refused(
            monkeypatch,
            capsys,
            compare.main,
            "compare",
            "env=Copy-v0",
            "algorithms=[mle,imitkd]",
            word,
        )
        assert message.startswith(f"error: {word}: none of these runs has such a key")


@pytest.mark.parametrize(
    ("environment", "said"),
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
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, ""),  # the command of a batch job
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1"}, ""),
    ],
)
def test_several_processes_are_refused_until_they_share_the_work(
    monkeypatch, capsys, environment, said
) -> None:
    if said:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert refused(monkeypatch, capsys, never, "dagger").startswith(f"error: {said}: each of ")
    else:
        idle.check_single_process(environment)
