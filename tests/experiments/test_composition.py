"""What composes, what overrides what, and one line with exit code 2 for every mistake."""

import re
from typing import Literal

import pytest
from omegaconf import OmegaConf

import cli
from agents.algorithms.schedules import BETA_SCHEDULES
from agents.runs.config import leaves
from cli import read
from cli.presets import presets
from cli.schema import GROUPS, keys, option_keys, options
from support.cases import others_slow
from textgen_env.errors import UserError
from textgen_env.tasks import tasks


def test_overrides_win_over_the_preset_and_the_preset_over_defaults():
    preset = presets("Copy-v0")["quick"]
    config = read("dagger", ["env=Copy-v0"])
    assert config.teacher.name == "exact"
    assert config.train.steps == preset["train.steps"]
    assert config.preset == "quick"
    assert read("dagger", ["env=Copy-v0", "train.steps=7"]).train.steps == 7
    assert read("dagger", ["env=Copy-v0", "teacher=transformer"]).teacher.name == "transformer"


def test_epochs_replace_the_steps_of_a_preset():
    config = read("dagger", ["train.epochs=0.5", "teacher.train.epochs=3"])
    assert (config.train.steps, config.train.epochs) == (None, 0.5)
    assert (config.teacher.train.steps, config.teacher.train.epochs) == (None, 3)


def test_a_configuration_holds_plain_values_without_interpolations():
    config = read("dagger", ["out=runs/${env.name}-${seed}", "seed=3"])
    assert config.out == "runs/IWSLT-v0-3"
    assert "${" not in OmegaConf.to_yaml(config)
    assert OmegaConf.create(OmegaConf.to_yaml(config)) == config


@pytest.fixture(scope="module")
def known():
    """The keys of every choice of every group."""
    return set(GROUPS).union(
        *(keys("dagger", {group: name}) for group in GROUPS for name in options(group))
    )


PRESETS = {f"{env}-{name}": (env, name) for env in tasks() for name in presets(env)}


@pytest.mark.parametrize(("env", "preset"), PRESETS.values(), ids=PRESETS.keys())
def test_every_preset_sets_keys_and_names_choices_that_exist(env, preset, known):
    for key in presets(env)[preset]:
        group, _, names = key.partition("=")
        if not names:
            assert key in known
        elif group != "command":
            assert set(names.split("|")) <= options(group).keys()


@pytest.mark.parametrize(
    ("env", "preset"), others_slow(PRESETS, "Copy-v0-quick", "IWSLT-v0-quick", "CNNDM-v0-paper")
)
def test_a_condition_of_a_preset_applies_to_its_choices(env, preset):
    """Composed by Hydra; tests/tasks/test_presets.py checks the algorithms of every preset."""
    words = [f"env={env}", f"preset={preset}"]
    for key, value in presets(env)[preset].items():
        group, _, names = key.partition("=")
        name = names.partition("|")[0]
        if group == "command":
            assert value.items() <= leaves(read(name, words)).items()
        elif name:
            assert value.items() <= leaves(read("dagger", [*words, f"{group}={name}"])).items()


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
        (["train=3"], "unknown key 'train'"),
        (["student=gru", "student.path=x"], "it belongs to student=hf, not to student=gru"),
        (["student=hf", "student.heads=2"], "it belongs to student=transformer, not to student=hf"),
        (["teacher=exact", "teacher.heads=2"], "belongs to teacher=transformer, not to teacher=ex"),
        (["algorithm=bc", "algorithm.relabel=all"], "and others, not to algorithm=bc; leave it"),
        (["env=Copy-v0", "env.bundled_pairs=9"], "not to env=Copy-v0; leave it out, or choose"),
        (["train.steps=many"], "train.steps=many: expected int, such as train.steps=1000"),
        (["train.lr=fast"], "train.lr=fast: expected float"),
        (
            ["train.checkpointing=maybe"],
            "train.checkpointing=maybe: expected bool, such as train.checkpointing=false",
        ),
        (["resume=maybe"], "unknown resume 'maybe'"),
        (["train.steps=null"], "train.steps=null: give train.epochs or a number of steps"),
        (["train.steps"], "cannot parse 'train.steps': write key=value"),
        (["+train.steps=3"], "+train.steps=3: +, ~ and @ are for hydra.* keys only"),
        (["++train.steps=3"], "are for hydra.* keys only"),
        (["~train.steps"], "are for hydra.* keys only"),
        (["env@env=Copy-v0"], "are for hydra.* keys only"),
        (["hydra/launcher=jblib"], "Could not find 'hydra/launcher/jblib'"),
        (["out=${x}"], "out=${x}: "),
        (["out=???"], "out=???: "),
        (["seed=0,1"], "seed=0,1 is a sweep: add --multirun"),
        (["out=a", "out=b"], "out is given 2 times; give it once"),
        (["algorithm=bc", "algorithm=mle"], "algorithm is given 2 times; give it once"),
        (["algorithm=nowhere.Nothing"], "cannot import algorithm 'nowhere.Nothing'"),
        (["env=nowhere.Nothing"], "cannot import task 'nowhere.Nothing' (ModuleNotFound"),
        (["env=textgen_env.types"], "task 'textgen_env.types' has no load()"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_the_nearest_valid_name(words, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        read("dagger", words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("out=2024_01", """'out="2024_01"'"""),
        ("out=1e5", """'out="1e5"'"""),
        ("out=true", """'out="true"'"""),
        ("out=a=b", """'out="a=b"'"""),
        ("out=a,b", """'out="a,b"'"""),
        ("out=größe", """'out="größe"'"""),
        ("teacher.separator= -> ", """'teacher.separator=" -> "'"""),
        ("out=[a]", """'out="[a]"'"""),
    ],
)
def test_text_that_hydra_would_change_is_refused_with_the_quoted_form(word, quoted):
    with pytest.raises(UserError, match=re.escape(quoted)):
        read("dagger", [word])
    key, _, text = word.partition("=")
    words = [quoted[1:-1], *(["teacher.path=hf:gpt2"] if key.startswith("teacher") else [])]
    assert OmegaConf.select(read("dagger", words), key) == text


def test_a_list_of_text_that_hydra_would_change_is_refused():
    with pytest.raises(UserError, match=r"run=\[no,2024_01\]: Hydra reads 202401; quote"):
        read("exposure_bias", ["run=[no,2024_01]"])
    assert read("exposure_bias", ['run=[no,"2024_01"]']).run == ["no", "2024_01"]
    with pytest.raises(UserError, match=r"quote every text in the list"):
        read("bench", ["memory=[env.data_dir=x]"])


@pytest.mark.parametrize(
    ("command", "word", "example"),
    [("speed", "beams=1", "beams=[1]"), ("exposure_bias", "run=RUN", "run=[RUN]")],
)
def test_a_list_is_written_in_brackets(command, word, example):
    message = f"{word}: expected list, such as {example}"
    with pytest.raises(UserError, match=re.escape(message)):
        read(command, [word])


def test_values_have_the_type_of_their_key():
    config = read("dagger", ["out=123", "train.lr=1", "train.clip=2e-1", "init=null"])
    assert (config.out, config.train.lr, config.train.clip, config.init) == ("123", 1.0, 0.2, None)
    assert type(config.train.lr) is float


@pytest.mark.parametrize(("env", "preset"), [("WMT16-v0", "paper"), ("IWSLT-v0", "quick")])
def test_the_rate_of_a_preset_belongs_to_the_exponential_schedule(env, preset):
    words = [f"env={env}", f"preset={preset}"]
    assert read("dagger", words).algorithm.rate == 0.5
    for kind in BETA_SCHEDULES.keys() - {"exponential"}:
        assert read("dagger", [*words, f"algorithm.beta={kind}"]).algorithm.rate is None
    assert read("dagger", [*words, "algorithm=scheduled_sampling"]).algorithm.rate is None


@pytest.mark.parametrize("command", ["dagger", "exposure_bias", "export", "interop"])
def test_a_command_that_decodes_a_split_has_the_keys_of_the_machine(command):
    assert {"device", "precision", "threads", "workers"} <= read(command, []).keys()


TASK = '''
from textgen_env.tasks import copy

class Sort:
    PRESETS = {"quick": {"teacher": "exact", "train.steps": 7}, "tiny": {"train.steps": 3}}

    @staticmethod
    def load(symbols: int = 8, order: "Literal['up', 'down']" = "up"):
        """Sort symbols.

        Args:
            symbols: number of symbols
            order: up or down
        """
        return copy.load(symbols=symbols)

class Plain:
    @staticmethod
    def load(size=3): ...
'''


@pytest.fixture
def task_file(tmp_path, monkeypatch):
    (tmp_path / "own_tasks.py").write_text(TASK)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("task_file")
def test_a_task_from_outside_is_named_by_its_dotted_path():
    config = read("dagger", ["env=own_tasks.Sort", "env.symbols=5"])
    assert (config.env.name, config.env.symbols) == ("own_tasks.Sort", 5)
    assert (config.teacher.name, config.train.steps) == ("exact", 7)
    assert read("dagger", ["env=own_tasks.Sort", "preset=tiny"]).train.steps == 3
    assert read("dagger", ["env=own_tasks.Plain", "env.size=4"]).env.size == 4
    with pytest.raises(UserError, match="unknown preset 'paper'"):
        read("dagger", ["env=own_tasks.Sort", "preset=paper"])
    with pytest.raises(UserError, match=r"unknown key 'env\.symbls'; did you mean 'env\.symbols'"):
        read("dagger", ["env=own_tasks.Sort", "env.symbls=5"])


def test_literals_and_optional_annotations_are_checked():
    class Policy:
        """A policy.

        Args:
            mode: how
            size: how much
            ratio: a share
            free: anything
            sizes: several
        """

        def __init__(
            self,
            vocabulary_size,
            mode: Literal["a", "b"] = "a",
            size: int | None = None,
            ratio=0.5,
            free=None,
            sizes: tuple[int, ...] = (1, 2),
        ): ...

    options("student")["literal"] = Policy
    try:
        fields = keys("dagger", {"student": "literal"})
    finally:
        del options("student")["literal"]
        option_keys.cache_clear()
    types = {name: fields[f"student.{name}"].type for name in ("mode", "size", "ratio", "sizes")}
    assert types == {"mode": str, "size": int | None, "ratio": float, "sizes": list[int]}
    assert fields["student.mode"].choices == ("a", "b")
    assert fields["student.sizes"].meaning == "several"


def test_every_command_runs_its_main_with_the_composed_configuration(monkeypatch):
    configs = []
    monkeypatch.setattr("sys.argv", ["t2_bound.py", "seed=3"])
    cli.run(configs.append, "t2_bound")
    assert configs == [read("t2_bound", ["seed=3"])]
