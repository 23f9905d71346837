"""The command line: what composes, what overrides what, and one clear line for every mistake."""

import re
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from agents import accel
from agents.accel import workers
from agents.algorithms.schedules import BETA_SCHEDULES
from agents.runs.config import leaves
from agents.runs.folder import open_folder, resume_command
from agents.runs.machine import use_machine
from cli import help_table, presets, read, run
from options import groups
from textgen_env.errors import UserError
from textgen_env.tasks import tasks

CONF = Path(__file__).parents[2] / "experiments" / "conf"


def test_words_go_over_the_preset_and_the_preset_over_the_defaults():
    preset = presets("Copy-v0")["quick"]
    config = read("dagger", ["env=Copy-v0"])
    assert config.teacher.name == "exact"
    assert config.train.steps == preset["train.steps"]
    assert read("dagger", ["env=Copy-v0", "train.steps=7"]).train.steps == 7
    assert read("dagger", ["env=Copy-v0", "teacher=transformer"]).teacher.name == "transformer"


@pytest.fixture(scope="module")
def keys():
    """Every key that some student or algorithm has."""
    chosen = [
        f"{group}={name}" for group in ("student", "algorithm") for name in groups(None)[group]
    ]
    return {key for word in chosen for key in leaves(read("dagger", [word]))} | groups(None).keys()


@pytest.mark.parametrize("env", tasks())
@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_every_preset_composes_and_sets_keys_that_exist(env, preset, keys):
    config = read("dagger", [f"env={env}", f"preset={preset}"])
    settings = presets(env)[preset]
    plain = {key: value for key, value in settings.items() if not isinstance(value, dict)}
    assert not plain.keys() - keys - leaves(config).keys()
    for key in plain.keys() & leaves(config).keys():
        assert leaves(config)[key] == settings[key]
    for condition in settings.keys() - plain.keys():
        key, _, names = condition.partition("=")
        assert set(names.split("|")) <= (
            groups(None)[key].keys() if key in groups(None) else BETA_SCHEDULES.keys()
        )
        chosen = leaves(
            read("dagger", [f"env={env}", f"preset={preset}", f"{key}={names.partition('|')[0]}"])
        )
        assert (
            settings[condition].items() <= chosen.items()
        )  # the other names: tests/test_presets.py


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["env=IWSTL-v0"], "unknown env 'IWSTL-v0'; did you mean 'IWSLT-v0'?"),
        (["algorithm=imitkd_ful"], "unknown algorithm 'imitkd_ful'; did you mean 'imitkd_full'?"),
        (["student=transfomer"], "unknown student 'transfomer'; did you mean 'transformer'?"),
        (["preset=quik"], "unknown preset 'quik'; did you mean 'quick'?"),
        (["train.stesp=3"], "unknown key 'train.stesp'; did you mean 'train.steps'?"),
        (["env.data_dri=x"], "unknown key 'env.data_dri'; did you mean 'env.data_dir'?"),
        (["student.name=x"], "unknown key 'student.name'"),
        (["train.steps=many"], "train.steps=many: int expected, such as train.steps="),
        (["train.lr=fast"], "train.lr=fast: float expected"),
        (["resume=1"], "resume=1: bool expected"),
        (["train.steps"], "cannot read 'train.steps': write key=value"),
        (["+train.steps=3"], "cannot read"),
        (["out=${x}"], "nothing is filled in for ${x} here"),
        (["out=???"], "nothing is filled in for ??? here"),
        (["train.steps=0b_"], "train.steps=0b_: int expected"),
        (["out=a", "out=b"], "out is given 2 times; give it once"),
        (["algorithm._target_="], "algorithm._target_=: "),
        (
            ["algorithm=bc", "algorithm._target_=agents.algorithms.bc.BC"],
            "algorithm is given 2 times; give it once",
        ),
        (["algorithm._target_=nowhere.Nothing"], "No module named 'nowhere'"),
    ],
)
def test_a_mistake_is_one_line_with_the_nearest_valid_name(words, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        read("dagger", words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("script", "word", "message"),
    [
        ("dagger", "evaluate.beam=0", "a number of at least 1"),
        ("dagger", "evaluate.length_penalty=-1", "a number of at least 0"),
        ("dagger", "teacher.length_penalty=-1", "a number of at least 0"),
        ("compare", "length_penalty=-0.5", "a number of at least 0"),
        ("show", "length_penalty=-0.5", "a number of at least 0"),
        ("speed", "length_penalty=-0.5", "a number of at least 0"),
        ("dagger", "evaluate.rows=-5", "a number of at least 1"),
        ("dagger", "evaluate.rows=abc", "int expected"),
        ("dagger", "seed=-1", "a number of at least 0"),
        ("dagger", "seed=null", "int expected"),
        ("dagger", "train.lr=-1", "more than 0"),
        ("dagger", "train.validations=0", "a number of at least 1"),
        ("dagger", "student.heads=0", "a number of at least 1"),
        ("dagger", "algorithm.top_k=-1", "a number of at least 0"),
        ("speed", "beams=[1,0]", "a number of at least 1"),
        ("speed", "beams=[x]", "int expected"),
        ("speed", "batch_sizes=[2.5]", "int expected"),
        ("speed", "threads=[]", "give at least one"),
        ("bench", "episodes=0", "a number of at least 1"),
        ("exposure_bias", "resamples=0", "a number of at least 1"),
        ("interop", "gamma=much", "float expected"),
    ],
)
def test_a_number_out_of_range_is_said_before_the_work(script, word, message):
    with pytest.raises(UserError, match=f"^{re.escape(word.partition('=')[0])}=.*{message}"):
        read(script, [word])


def test_a_folder_may_be_called_by_a_number():
    assert read("dagger", ["out=123", "init=7"]).out == "123"


def test_values_keep_their_types():
    config = read("dagger", ["env.data_dir=/a b/c=d,e", "train.lr=1", "train.clip=2e-1", "out=3"])
    assert config.env.data_dir == "/a b/c=d,e"
    assert (config.train.lr, config.train.clip) == (1.0, 0.2)


@pytest.mark.parametrize(
    "text", ["no", "2024_01", "010", " -> ", "\n", "1e5", "{a: b}", ": ", "~", "null"]
)
def test_text_stays_as_it_was_written(text):
    config = read("dagger", ["teacher.path=hf:gpt2", f"teacher.separator={text}"])
    assert config.teacher.separator == text
    assert OmegaConf.create(OmegaConf.to_yaml(config)) == config


def test_a_list_is_written_at_once_or_one_by_one():
    assert read("exposure_bias", ["run=no", "run=2024_01"]).run == ["no", "2024_01"]
    assert read("exposure_bias", ["run=[no, 2024_01]"]).run == ["no", "2024_01"]
    assert (
        read("speed", ["beams=[1,3]"]).beams
        == read("speed", ["beams=1", "beams=3"]).beams
        == [1, 3]
    )


def test_help_is_printed_whole_where_it_can_be_searched(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    for script, words in (
        ("dagger", [f"init={'x' * 100}"]),
        ("compare", ["env=Copy-v0", f"out={'x' * 100}"]),
    ):
        monkeypatch.setattr(sys, "argv", [script, *words, "--help"])
        run(lambda *_: None, script, passes_on=script == "compare")
        said = capsys.readouterr().out
        assert f"python experiments/{script}.py [key=value …]" in said
        assert {line.split()[0] for line in said.splitlines()} >= {
            key for key in leaves(read(script, [])) if ".name" not in key
        }
        assert said.count("x") >= 100


def test_every_key_of_every_choice_has_help():
    made = groups(None)
    for group, options in made.items():
        for name in options:
            table = help_table("dagger", [f"{group}={name}"])
            keys, meanings = (list(column.cells) for column in (table.columns[0], table.columns[2]))
            assert [
                key for key, meaning in zip(keys, meanings, strict=True) if len(meaning) < 5
            ] == []


def opened(words):
    """The run folder that ``dagger.py`` takes, its lock given back."""
    with open_folder(read("dagger", words), "experiments/dagger.py", words) as folder:
        return folder


def test_a_run_folder_is_never_shared(tmp_path):
    words = ["env=Copy-v0", f"out={tmp_path / 'run'}"]
    opened([*words, "train.steps=5"])
    opened(words)  # the one before never began
    (tmp_path / "run" / "checkpoints").mkdir()
    with pytest.raises(UserError, match="holds a run: continue it with resume=true"):
        opened(words)
    opened([*words, "resume=true", "evaluate.beam=5", "train.lr=0.5"])
    with pytest.raises(UserError, match=r"another run: train\.steps="):
        opened([*words, "resume=true", "train.steps=5"])
    (
        tmp_path / "run" / "results.json"
    ).touch()  # it is finished: it can be judged again, but not train otherwise
    opened([*words, "resume=true", "evaluate.beam=2", "train.lr=0.5"])
    with pytest.raises(UserError, match=r"another run: train\.lr=0\.5 there"):
        opened([*words, "resume=true"])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file; name a folder"):
        opened(["env=Copy-v0", f"out={tmp_path / 'file'}"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(UserError, match="is not empty and holds no run"):
        opened(["env=Copy-v0", f"out={tmp_path / 'other'}"])
    with pytest.raises(UserError, match="no run in"):
        opened(["env=Copy-v0", f"out={tmp_path / 'none'}", "resume=true"])
    assert not (tmp_path / "none").exists()
    with pytest.raises(UserError, match=r"^resume=true: name the folder of the run with out=$"):
        opened(["env=Copy-v0", "resume=true"])


def test_default_folders_do_not_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [opened(["env=Copy-v0"]).name for _ in range(3)]
    assert names == [
        "Copy-v0-imitkd_full-transformer-seed0" + suffix for suffix in ("", "-2", "-3")
    ]


def test_the_command_to_resume_names_the_folder_once(tmp_path):
    command = resume_command(
        "experiments/dagger.py", ["env=Copy-v0", "out=old", "resume=true"], tmp_path
    )
    assert command == f"python experiments/dagger.py env=Copy-v0 out={tmp_path} resume=true"


@pytest.mark.parametrize("command", ["dagger", "exposure_bias", "export", "interop"])
def test_what_writes_a_whole_split_can_be_told_how_to_compute(command):
    assert {"device", "precision", "threads", "workers"} <= read(command, []).keys()


@pytest.mark.skipif(sys.platform != "linux", reason="decodes are split on Linux only")
def test_threads_and_workers_are_used_and_told(capsys, monkeypatch):
    monkeypatch.delenv("TEXTGEN_ACCEL", raising=False)
    before = torch.get_num_threads()
    try:
        use_machine(
            OmegaConf.create(
                {"device": "cpu", "precision": "float32", "threads": 2, "workers": None}
            )
        )
        assert (torch.get_num_threads(), workers.max_workers()) == (2, 2)
        use_machine(
            OmegaConf.create(
                {"device": "cpu", "precision": "float32", "threads": None, "workers": 3}
            )
        )
        assert (torch.get_num_threads(), workers.max_workers()) == (2, 3)
    finally:
        torch.set_num_threads(before)
        accel.install(1)
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(
        r"computing: float32 on cpu, 2 CPU threads, accel: .*large decodes over 2 processes", said
    )
    assert re.search(
        r"computing: float32 on cpu, 2 CPU threads, accel: .*large decodes over 3 processes", said
    )
