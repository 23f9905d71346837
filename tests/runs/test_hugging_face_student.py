"""Runs whose student is a Hugging Face model: their folder, moved, without the original model."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import compare
import dagger
import exposure_bias
import score
import show
import speed
from agents.generation.decoding import greedy
from agents.model import Model
from agents.training.checkpoint import load_tensors
from support.cases import others_slow
from support.commands import CPU, TINY_RUN, run_in_process
from support.pretrained_models import FAMILIES, LINES
from textgen_env.errors import UserError
from textgen_env.types import EOS

TRAINING = [
    *(word for word in TINY_RUN if not word.startswith("student.")),
    *("env=ParallelText-v0", "env.data=text", "env.source_limit=60", "env.horizon=30"),
]

SMALL_RNN = ["student.width=16", "student.encoder_width=16", "student.embedding=16"]


def write_text(folder: Path) -> None:
    folder.mkdir()
    for split, count in (("train", 40), ("valid", 12), ("test", 12)):
        rows = [LINES[i % len(LINES)] for i in range(count)]
        (folder / f"{split}.de").write_text("".join(f"{row}\n" for row in rows))
        (folder / f"{split}.en").write_text("".join(f"{row}\n" for row in reversed(rows)))


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """The working directory, with a text."""
    home = tmp_path_factory.mktemp("home")
    write_text(home / "text")
    return home


@pytest.fixture(params=others_slow(["marian", "gpt2"]))
def run(request, home, monkeypatch, without_report) -> Path:
    """The run of a family, moved; its teacher is beside it, the student's own model is gone."""
    family: str = request.param
    monkeypatch.chdir(home)
    monkeypatch.setenv("TEXTGEN_CACHE", str(home / "cache"))
    if not (home / family).is_dir():
        FAMILIES[family](home / f"{family}-teacher")
        shutil.copytree(f"{family}-teacher", "model")
        words = ["student=hf", "student.path=model", "student.layers=1", "algorithm=imitkd_full"]
        teacher = f"teacher.path=hf:{home / family}-teacher"
        run_in_process(dagger, *words, teacher, *TRAINING, "out=origin")
        shutil.move("origin", family)
        shutil.rmtree("model")
    return home / family


def test_transformers_generates_the_same_tokens(run):
    """``generate`` of the model in the folder, token for token."""
    model = Model.load(run)
    policy = model.policy
    auto_class = (
        transformers.AutoModelForSeq2SeqLM
        if policy.has_encoder
        else transformers.AutoModelForCausalLM
    )
    theirs = auto_class.from_pretrained(run / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "model")
    for line in LINES:
        source = torch.tensor(model.encode([line]).rows[0])[None]
        episode = greedy(policy, source, 20)
        ours = policy.ids[episode.action[0, : int(episode.length)]].tolist()
        prompt = line if policy.has_encoder else line + tokenizer.eos_token
        inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        settings = {"max_new_tokens": 20, "do_sample": False, "forced_eos_token_id": None}
        output = theirs.generate(**inputs, **settings)[0].tolist()
        start = 1 if policy.has_encoder else inputs["input_ids"].shape[1]
        assert output[start:] == ours
        assert len(ours) == 20 or ours[-1] == policy.ids[EOS]


def test_the_folder_of_the_model_has_the_files_of_the_original(run):
    """The tokenizer is the original, the config has the new number of layers, weights are once."""
    folder, teacher = run / "model", run.parent / f"{run.name}-teacher"
    files = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
    for file in files & {path.name for path in teacher.iterdir()}:  # transformers 5 saves two
        assert (folder / file).read_bytes() == (teacher / file).read_bytes()
    config = transformers.AutoConfig.from_pretrained(folder)
    assert (config.num_hidden_layers, config.name_or_path) == (1, str(folder))
    best, _ = load_tensors(run / "checkpoints" / "best.safetensors")
    saved = Model.load(run).policy.state_dict()
    assert best.keys() == saved.keys()
    assert all(torch.equal(best[name], saved[name]) for name in best)
    assert not [name for name in best if "lm_head" in name]  # tied to the embeddings
    modes = {path.stat().st_mode for path in folder.iterdir() if path.is_file()}
    assert len(modes) == 1  # who reads one file reads all
    card = (folder / "README.md").read_text()
    for text in ("imitkd_full", "40 training pairs", f"{run.name}-teacher", "dagger.py", "bleu"):
        assert text in card
    code = card.partition("```python\n")[2].partition("```")[0].replace("this folder", str(folder))
    special = "the </s> dog </s> <pad> <|endoftext|>"  # ordinary text
    model = Model.load(run)
    for text in (LINES[4], special):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, context := {"text": text})
        rows = [model.policy.ids[row].tolist() for row in model.encode([text]).rows]
        assert context["ids"].tolist() == rows
        if text == LINES[4]:  # equal ids are enough for the other
            generated = model.generate([text])[0].rstrip("\ufffd")  # has a shorter limit
            assert printed.getvalue().strip().startswith(generated.strip())


@pytest.mark.slow
def test_other_commands_open_the_run(run, tmp_path):
    run_in_process(score, f"run={run}", "teacher=true", *CPU, f"out={tmp_path / 'score'}")
    scores = json.loads((tmp_path / "score" / "scores.json").read_text())["scores"]
    results = json.loads((run / "results.json").read_text())["scores"]
    assert scores["student"]["chrf"] == results["student"]["chrf"]
    assert "page: " in run_in_process(show, f"run={run}", "sentence=1", *CPU)
    assert "student" in run_in_process(speed, f"run={run}", "rows=4", "beams=[1]", *CPU)
    words = ["rows=12", "resamples=10", *CPU, f"out={tmp_path / 'bias'}"]
    run_in_process(exposure_bias, f"run=[{run}]", *words)


def test_a_run_resumes_without_the_original_model(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    output = run_in_process(dagger, "resume=true", f"out={copy}", "train.steps=8")
    assert "8 (best" in output
    assert json.loads((copy / "results.json").read_text())["training"]["steps"] == 8


def test_a_resumed_run_accepts_its_teacher_elsewhere_and_no_other(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    same = shutil.copytree(f"{run}-teacher", tmp_path / "same")
    other = shutil.copytree(same, tmp_path / "other")  # with the same tokens
    weights = load_file(other / "model.safetensors")
    weights = {name: tensor + 1 for name, tensor in weights.items()}
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    words = ["resume=true", f"out={copy}", "train.steps=8"]
    before = (copy / "config.yaml").read_bytes()
    output = run_in_process(dagger, *words, f"teacher.path=hf:{other}", code=2)
    (line,) = output.split("error: ")[1:]
    assert f"had other weights than teacher.path=hf:{other}" in " ".join(line.split())
    assert (copy / "config.yaml").read_bytes() == before
    run_in_process(dagger, *words, f"teacher.path=hf:{same}")
    results = json.loads((copy / "results.json").read_text())
    assert results["teacher"]["path"] == f"hf:{same}"
    layers = "1+2" if run.name == "marian" else "1"
    assert results["student"]["architecture"] == f"hf ({run.name}, {layers})"
    assert "teacher.path" in {change["key"] for change in results["changes"]}


@pytest.mark.slow
def test_a_run_starts_from_the_student_of_another_and_learns_from_it(run, tmp_path):
    """``init=RUN`` and ``teacher.path=RUN``, with a student of this project too."""
    started = tmp_path / "started"
    words = [*TRAINING, f"teacher.path={run}", "algorithm=imitkd_full"]
    run_in_process(dagger, "student=hf", f"init={run}", *words, f"out={started}")
    before, after = Model.load(run), Model.load(started)
    assert before.vocabulary.fingerprint == after.vocabulary.fingerprint
    assert before.policy.model.config.num_hidden_layers == 1
    assert json.loads((started / "results.json").read_text())["teacher"]["path"] == str(run)
    own = tmp_path / "own"
    run_in_process(dagger, "student=gru", *SMALL_RNN, *words, f"out={own}")
    assert Model.load(own).vocabulary.fingerprint == before.vocabulary.fingerprint


@pytest.mark.slow
def test_students_are_compared(run, tmp_path):
    path = f"{run}-teacher"
    words = [
        f"students=[{{name: hf, path: '{path}'}},{{name: hf, path: '{path}', layers: 1}}]",
        *("algorithms=[mle,scst]", "seeds=[0]", f"teacher.path=hf:{path}", f"out={tmp_path}"),
    ]
    others = [word for word in TRAINING if not word.startswith("evaluate.rows")]
    run_in_process(compare, *words, *others)
    rows = json.loads((tmp_path / "comparison.json").read_text())
    assert len(list(tmp_path.glob("*/model/model.safetensors"))) == 4
    for card in tmp_path.glob("*/model/README.md"):
        assert "python experiments/compare.py 'students=[" in card.read_text()
    assert rows


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "model is missing, which holds the config of the student; restore it"),
        (lambda model: (model / "config.json").write_text("{"), "config.json is not valid JSON"),
        (
            lambda model: edit(model / "config.json", encoder_layers=2),
            "does not match its settings",
        ),
        (lambda model: edit(model / "config.json", auto_map={"AutoModel": "a.B"}), "custom code"),
        (lambda model: (model / "tokenizer.json").unlink(), "its tokenizer cannot be loaded"),
    ],
    ids=["missing", "truncated", "layers", "code", "tokenizer"],
)
@pytest.mark.parametrize("run", ["marian"], indirect=True)
def test_a_damaged_folder_is_reported_in_one_line(damage, message, run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    damage(copy / "model")
    with pytest.raises(UserError) as error:
        Model.load(copy)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("run", ["marian"], indirect=True)
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["student=hf"], "student.path=null: give a model folder or a model on the Hub, or init="),
        (["student=hf", "student.path=nowhere/at/all"], "no such folder"),
        (["student=hf", "student.path=text"], "it has no config.json"),
        (["student=hf", "student.path=MODEL", "student.layers=3"], "layers=3: it has 2"),
        (
            ["student=hf", "student.path=MODEL", "init=RUN"],
            "path does not apply: init=RUN brings",
        ),
        (["student=hf", "init=RUN", "student.dtype=bfloat16"], "student.dtype=float32"),
        (
            ["student=gru", "init=RUN"],
            "init=RUN holds a Hugging Face model; to use it, add",
        ),
        (["student=hf", "student.path=other", "init=RUN"], "was trained with vocabulary"),
        (["student=hf", "student.path=MODEL", "student.init=zero"], "unknown student.init 'zero'"),
        (["student=hf", "init=text"], "init=text holds no Hugging Face model"),
        (["teacher=hf"], "unknown teacher 'hf'"),
        (["student=hf", "student.path=MODEL", "env.horizon=200"], "lower env.source_limit"),
        (["teacher.dtype=bfloat16"], "teacher.dtype does not apply"),
    ],
    ids=str,
)
def test_mistakes_are_reported_in_one_line(words, message, run, tmp_path):
    if not Path("other").is_dir():
        FAMILIES["gpt2"](Path("other"))
    replaced = [
        word.replace("MODEL", f"{run.name}-teacher").replace("RUN", run.name) for word in words
    ]
    output = run_in_process(dagger, *replaced, "env=ParallelText-v0", "env.data=text", code=2)
    (line,) = [line for line in output.split("error: ")[1:]]
    assert message.replace("RUN", run.name) in " ".join(line.split())


@pytest.mark.parametrize("run", ["marian"], indirect=True)
def test_a_folder_cannot_make_a_resume_download_its_student(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "checkpoints" / "last.safetensors").unlink()
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace("path: model", "path: owner/name"))
    output = run_in_process(dagger, "resume=true", f"out={copy}", code=2)
    assert "repeat student.path=owner/name on the command line" in output
