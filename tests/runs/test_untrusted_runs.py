"""Opening a run folder runs none of its code and downloads nothing, whatever its files name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import cli
import dagger
from agents.runs.task import build_task
from support.hostile import (
    INDEX,
    Attack,
    audit,
    canary,
    check,
    custom_generate,
    edit,
    make_sandbox,
    pickle_in_index,
    replaced,
)
from support.pretrained_models import copier

TASK = [
    *("env=Copy-v0", "env.symbols=5", "env.max_length=5", "env.horizon=8"),
    *("env.train=40", "env.valid=8", "env.test=12"),
]
TRAINING = [
    *("student.layers=1", "student.width=16", "student.heads=2", "student.ffn=16"),
    *("train.steps=2", "train.validations=1", "train.batch_tokens=128", "algorithm=bc"),
    *("evaluate.speed_rows=4", "precision=float32", "device=cpu", "workers=1", "threads=1"),
]
COMMANDS = {  # the commands that open a run folder, with overrides that make them fast
    "show": [],
    "score": ["rows=4", "teacher=true", "threads=1", "workers=1", "out=scored"],
    "speed": ["rows=4", "rounds=1", "threads=[1]", "beams=[1]", "batch_sizes=[4]"],
    "export": ["rows=4", "batch_sizes=[1]", "threads=1"],
    "exposure_bias": [
        *("rows=12", "resamples=2", "corrupt_at=1", "corrupt=1"),
        *("threads=1", "workers=1", "out=bias"),
    ],
}


def config_line(text: str) -> Attack:
    """Append to config.yaml."""
    return lambda run: (run / "config.yaml").write_text((run / "config.yaml").read_text() + text)


def teacher_path(path: object) -> Attack:
    """Change the teacher's path in results.json."""

    def attack(run: Path) -> None:
        sandbox = run.parent.parent
        named = path.format(sandbox=sandbox) if isinstance(path, str) else path
        teacher = {"path": named, "architecture": "marian", "parameters": 1}
        edit(run / "results.json", teacher=teacher)

    return attack


def dotted_algorithm(run: Path) -> None:
    (run / "evil.py").write_text(canary(run))
    shutil.copy(run / "evil.py", run.parent.parent / "cwd" / "evil.py")
    text = (run / "config.yaml").read_text()
    assert "  name: bc\n" in text
    (run / "config.yaml").write_text(text.replace("  name: bc\n", "  name: evil.Evil\n"))


def hub_corpus(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    env = "env:\n  name: IWSLT-v0\n  corpus: hub\n  hub: evil/data\n"
    (run / "config.yaml").write_text(env + text[text.index("teacher:") :])


INTERPOLATION = "a tag, an alias, ${…}, ??? or deep nesting"
ATTACKS: dict[str, tuple[Attack, str]] = {  # name: (what is done to a good run, the message)
    "dotted name": (dotted_algorithm, ""),
    "pickled teacher": (
        teacher_path("hf:{sandbox}/in/pickle"),
        f"{INDEX} names 'model-00002-of-00002.bin'",
    ),
    "teacher on the hub": (
        teacher_path("hf:evil/model"),
        "a run's folder downloads nothing: add teacher.path=hf:evil/model, or its folder",
    ),
    "list of teachers": (
        teacher_path(["hf:evil/model"]),
        '(results.teacher.path is ["hf:evil/model"])',
    ),
    "corpus on the hub": (hub_corpus, "a run's folder downloads nothing"),
    "environment variable": (config_line("x: ${oc.env:HOME}\n"), INTERPOLATION),
    "environment variable as key": (config_line("${oc.env:HOME}: 1\n"), INTERPOLATION),
    "tag": (config_line("x: !!python/object/apply:os.system [touch canary]\n"), INTERPOLATION),
    "path tag": (
        config_line("x: !!python/object/apply:pathlib.PosixPath [/etc]\n"),
        INTERPOLATION,
    ),
    "alias": (config_line("x: &x [1]\ny: [*x, *x]\n"), INTERPOLATION),
    "nested config": (config_line("x: " + "[" * 10**4), INTERPOLATION),
    "large config": (config_line("x: 1\n" * 2**16), "at most 65,536 are read"),
    "nested results": (replaced("results.json", "[" * 10**5), "results.json is "),
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a finished run ``runs/good`` of a pretrained teacher that has custom code."""
    sandbox = make_sandbox(tmp_path_factory)
    torch.manual_seed(0)
    teacher = sandbox / "in" / "teacher"
    texts = build_task(cli.read("dagger", TASK)).splits["train"].texts.sources
    copier(teacher, texts, steps=1)
    overrides = [*TASK, *TRAINING, f"teacher.path=hf:{teacher}", f"out={sandbox / 'runs' / 'good'}"]
    dagger.main(cli.read("dagger", overrides))
    pickle_in_index(shutil.copytree(teacher, sandbox / "in" / "pickle"))
    custom_generate(teacher)
    return sandbox


@pytest.fixture(scope="module")
def outcomes(sandbox: Path) -> dict[str, dict[str, Any]]:
    jobs = {}
    for name, (attack, _) in ATTACKS.items():
        run = shutil.copytree(sandbox / "runs" / "good", sandbox / "runs" / name)
        attack(run)
        jobs[name] = ["run", "show", f"run={run}"]
    return audit(sandbox, jobs, ("show", "agents.policies.pretrained", "matplotlib.pyplot"))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_run_folder_does_nothing(name: str, outcomes: dict[str, dict[str, Any]]):
    check(outcomes[name], ATTACKS[name][1])
    assert outcomes[name]["output"].count("error: ") == bool(ATTACKS[name][1])


@pytest.fixture(scope="module")
def command_outcomes(sandbox: Path) -> dict[str, dict[str, Any]]:
    run = sandbox / "runs" / "good"
    teacher = f"teacher.path=hf:{sandbox / 'in' / 'teacher'}"
    jobs = {}
    for name, extra in COMMANDS.items():
        value = f"[{run}]" if name == "exposure_bias" else str(run)  # a list of runs
        jobs[name] = ["run", name, f"run={value}", *extra]
    overrides = [*TASK, *TRAINING, teacher]
    jobs["dagger"] = ["run", "dagger", *overrides, f"init={run}", f"out={sandbox / 'runs' / 'two'}"]
    overrides = [*TASK, *(word for word in TRAINING if word != "algorithm=bc"), teacher]
    jobs["compare"] = ["run", "compare", *overrides, "algorithms=[bc]", "beams=[1]", "out=compared"]
    imports = ("agents.policies.pretrained", "agents.interop.ctranslate2", "matplotlib.pyplot")
    return audit(sandbox, jobs, (*jobs, *imports))


@pytest.mark.slow
@pytest.mark.parametrize("command", [*COMMANDS, "dagger", "compare"])
def test_no_command_runs_the_code_of_a_teacher(
    command: str, command_outcomes: dict[str, dict[str, Any]]
):
    check(command_outcomes[command], "")
    assert "teacher: opened from " in command_outcomes[command]["output"]
