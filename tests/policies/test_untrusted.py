"""A folder from the net is data: no code of its own, no network, nothing outside it, whatever it holds.

One hostile folder per way in, opened in a process whose audit hook takes down what happens.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import cli
import dagger
from agents.policies.pretrained import load_pretrained
from agents.runs.task import build_task
from support import audited
from support.pretrained_models import FAMILIES, copier
from textgen_env.data.hub import HubDataset, load_hub, local_only
from textgen_env.errors import UserError

Spoil = Callable[[Path], object]
INDEX = "model.safetensors.index.json"
KERNELS = """
import os
from unittest.mock import MagicMock
Device = LayerRepository = Mode = register_kernel_mapping = MagicMock()
replace_kernel_forward_from_hub = lambda *_: None
use_kernel_forward_from_hub = lambda *_: lambda kind: kind
def get_kernel(name, **_): open(os.environ["CANARY"], "w").write(name)
"""


def edit(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | changes))


def config(**changes: object) -> Spoil:
    return lambda folder: edit(folder / "config.json", **changes)


def tokenizer_config(**changes: object) -> Spoil:
    return lambda folder: edit(folder / "tokenizer_config.json", **changes)


def both(*spoils: Spoil) -> Spoil:
    def spoil(folder: Path) -> None:
        for each in spoils:
            each(folder)

    return spoil


def canary(folder: Path) -> str:
    return f"open({str(folder.parent.parent / 'canary')!r}, 'w')\n"


def outside(folder: Path) -> Path:
    """A folder that the hostile one does not own."""
    made = folder.parent.parent / "outside" / folder.name
    made.mkdir(parents=True, exist_ok=True)
    return made


def custom_generate(folder: Path) -> None:
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(
        f"{canary(folder)}def generate(model): ...\n"
    )


def remote_model(folder: Path) -> None:
    (folder / "evil.py").write_text(canary(folder))
    edit(folder / "config.json", auto_map={"AutoConfig": "evil.Config"}, model_type="evil")


def remote_tokenizer(folder: Path) -> None:
    (folder / "evil.py").write_text(canary(folder))
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.A", "evil.B"]})


def index_of_a_pickle(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    torch.save(weights, folder / "model-00002-of-00002.bin")
    names = sorted(weights)
    places = dict.fromkeys(names, "model-00001-of-00002.safetensors") | {
        names[0]: "model-00002-of-00002.bin"
    }
    edit(folder / INDEX, metadata={"total_size": 1}, weight_map=places)


def index_outside(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "other.safetensors")
    shutil.move(folder / "model.safetensors", outside(folder) / "model-00001-of-00001.safetensors")
    file = os.path.relpath(outside(folder) / "model-00001-of-00001.safetensors", folder)
    names = load_file(folder / file)
    edit(folder / INDEX, metadata={"total_size": 1}, weight_map=dict.fromkeys(names, file))


def index_of_absent_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    edit(folder / INDEX, weight_map={"a": "model-00001-of-00001.safetensors"})


def index_without_map(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    edit(folder / INDEX, weight_map=["a"])


def weights_named_outside(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "other.safetensors")
    shutil.move(folder / "model.safetensors", outside(folder) / "model.safetensors")
    file = os.path.relpath(outside(folder) / "model.safetensors", folder)
    edit(folder / "config.json", transformers_weights=file)


def linked_outside(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        shutil.move(folder / name, outside(folder) / name)
        (folder / name).symlink_to(outside(folder) / name)

    return spoil


def tokenizer_file(key: str) -> Spoil:
    """A path of somebody else's machine in the tokenizer's config is not followed: the folder's own file is read."""

    def spoil(folder: Path) -> None:
        edit(folder / "tokenizer_config.json", **{key: str(outside(folder) / "tokenizer.json")})

    return spoil


def versioned(key: str, name: str, path: str) -> Spoil:
    def spoil(folder: Path) -> None:
        edit(folder / path, **{key: [name]})

    return spoil


def adapter(folder: Path) -> None:
    edit(folder / "adapter_config.json", base_model_name_or_path="evil/base")


def other_format(form: str) -> Spoil:
    def spoil(folder: Path) -> None:
        save_file(
            load_file(folder / "model.safetensors"), folder / "model.safetensors", {"format": form}
        )

    return spoil


def replaced(name: str, text: str) -> Spoil:
    return lambda folder: (folder / name).write_text(text)


def pipe(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def too_large(name: str, size: int) -> Spoil:
    return lambda folder: os.truncate(folder / name, size)


def template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ ''.__class__ }}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "a.jinja").write_text("{{ ''.__class__ }}")


def pickles_beside(folder: Path) -> None:
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "modeling_evil.py").write_text(canary(folder))
    (folder / "requirements.txt").write_text("evil\n")


CODE = "refers to custom code"
FILES = "refers to other files"
LINK = "links out of the folder"
WAYS_IN: dict[
    str, tuple[Spoil, str]
] = {  # name → what is done to a good folder, the refusal ("": it is opened, unharmed)
    "custom_generate": (custom_generate, ""),
    "custom_generate, named": (config(custom_generate="evil/generate"), CODE),
    "auto_map": (remote_model, f"config.json: auto_map: {CODE}"),
    "auto_map, tokenizer": (remote_tokenizer, f"tokenizer_config.json: auto_map: {CODE}"),
    "auto_map, generation": (
        lambda f: edit(f / "generation_config.json", auto_map={"A": "b.C"}),
        CODE,
    ),
    "auto_map, nested": (
        config(decoder={"parts": [{"auto_map": {"AutoConfig": "evil--a.B"}}]}),
        CODE,
    ),
    "index, pickle": (index_of_a_pickle, f"{INDEX} names 'model-00002-of-00002.bin'"),
    "index, outside": (index_outside, f"{INDEX} names '../../outside/"),
    "index, absent": (
        index_of_absent_shard,
        "model-00001-of-00001.safetensors, listed in model.safetensors.index.json, is missing",
    ),
    "index, no map": (index_without_map, f"{INDEX} has no weight_map"),
    "index, nested": (both(index_without_map, replaced(INDEX, "[" * 10**6)), "is not valid JSON"),
    "weights, outside": (weights_named_outside, FILES),
    "weights, link": (linked_outside("model.safetensors"), f"model.safetensors {LINK}"),
    "weights, tf": (other_format("tf"), "model.safetensors has format 'tf'"),
    "weights, flax": (other_format("flax"), "model.safetensors has format 'flax'"),
    "config, link": (linked_outside("config.json"), f"config.json {LINK}"),
    "tokenizer, link": (linked_outside("tokenizer.json"), f"tokenizer.json {LINK}"),
    "kernel": (config(_attn_implementation_internal="evil/kernel"), "would download and run code"),
    "kernel, public": (config(attn_implementation="evil/kernel"), "would download and run code"),
    "kernel, nested": (
        config(text_config={"_attn_implementation": "evil/a:b"}),
        "would download and run code",
    ),
    "kernel, flash": (config(_attn_implementation_internal="flash_attention_2"), ""),
    "use_kernels": (config(use_kernels=True), ""),
    "quantized": (
        config(quantization_config={"quant_method": "mxfp4"}),
        "the weights are quantized",
    ),
    "versions": (
        versioned("configuration_files", "config.4.0.0/../../../outside/x.json", "config.json"),
        FILES,
    ),
    "versions, tokenizer": (
        versioned("fast_tokenizer_files", "tokenizer.4.0.0.json", "tokenizer_config.json"),
        FILES,
    ),
    "tokenizer_file": (tokenizer_file("tokenizer_file"), ""),
    "vocab_file": (tokenizer_file("vocab_file"), ""),
    "special_tokens_map_file": (tokenizer_file("special_tokens_map_file"), ""),
    "name_or_path": (tokenizer_config(name_or_path="evil/model", _name_or_path="evil/model"), ""),
    "init_inputs": (tokenizer_config(init_inputs=["/etc/passwd"]), ""),
    "tokenizer_class": (
        tokenizer_config(tokenizer_class="AutoModel"),
        "tokenizer_class='AutoModel' is not a tokenizer",
    ),
    "tokenizer_class, auto": (
        both(tokenizer_config(tokenizer_class=None), config(tokenizer_class="RagTokenizer")),
        "tokenizer_class='RagTokenizer' is not a tokenizer",
    ),
    "adapter": (adapter, "it is an adapter"),
    "model_type": (config(model_type="evil"), "model_type='evil' is not a supported text model"),
    "model_type, none": (config(model_type=None), "model_type=None is not a supported text model"),
    "model_type, list": (config(model_type=["gpt2"]), "is not a supported text model"),
    "model_type, backbone": (
        config(model_type="vision-encoder-decoder", backbone="evil/net", use_timm_backbone=True),
        "is not a supported text model",
    ),
    "model_type, compiles": (config(model_type="rwkv"), "is not a supported text model"),
    "not an object": (replaced("config.json", "[]"), "config.json is not a JSON object"),
    "not JSON": (replaced("tokenizer_config.json", "{"), "tokenizer_config.json is not valid JSON"),
    "nested": (replaced("config.json", '{"a":' * 10**5), "config.json is not valid JSON"),
    "large": (too_large("config.json", 17 << 20), "config.json has 17,825,792 bytes"),
    "large tokenizer": (
        too_large("tokenizer.json", 129 << 20),
        "tokenizer.json has 135,266,304 bytes",
    ),
    "pipe": (pipe("generation_config.json"), "generation_config.json is not a regular file"),
    "template": (template, ""),
    "other files": (pickles_beside, ""),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Room for one process: hostile folders in ``in``, its temporary files in ``tmp``, all else is outside."""
    made = tmp_path_factory.mktemp("audited")
    for name in ("in", "runs", "tmp", "cache", "home", "site", "cwd"):
        (made / name).mkdir()
    (made / "site" / "kernels.py").write_text(KERNELS)
    return made


def under_audit(
    place: Path, jobs: list[list[str]], imports: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """What ``tests/audited.py`` says of ``jobs``."""
    roots = [str(place / name) for name in ("runs", "tmp", "cache", "home", "cwd")] + [
        matplotlib.get_cachedir()
    ]
    asked = {"jobs": jobs, "imports": imports, "roots": roots, "folders": [str(place / "in")]}
    asked["site"] = str(place / "site")
    (place / "jobs.json").write_text(json.dumps(asked))
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PYTHON"))
    }
    environment |= {
        "TMPDIR": str(place / "tmp"),
        "TEXTGEN_CACHE": str(place / "cache"),
        "HOME": str(place / "home"),
    }
    environment["MPLCONFIGDIR"] = matplotlib.get_cachedir()
    environment |= {
        "HF_HOME": str(place / "cache" / "hf"),
        "CANARY": str(place / "canary"),
        "OMP_NUM_THREADS": "1",
    }
    environment["PYTHONPATH"] = os.pathsep.join([str(audited.ROOT), str(place / "site")])
    command = [
        sys.executable,
        audited.__file__,
        str(place / "jobs.json"),
        str(place / "results.json"),
    ]
    done = subprocess.run(
        command, env=environment, cwd=place / "cwd", capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((place / "results.json").read_text())


@pytest.fixture(scope="module")
def opened(place) -> dict[str, dict[str, Any]]:
    """``{way in: what happened}``."""
    torch.manual_seed(0)
    good = FAMILIES["gpt2"](place / "good")
    jobs = []
    for number, (spoil, _) in enumerate(WAYS_IN.values()):
        folder = shutil.copytree(good, place / "in" / f"{number}")
        spoil(folder)
        jobs.append(["model", str(folder)])
    imports = ("agents.policies.pretrained", "transformers.models.gpt2.modeling_gpt2")
    return dict(zip(WAYS_IN, under_audit(place, jobs, imports), strict=True))


@pytest.mark.parametrize("way", WAYS_IN)
def test_a_model_folder_is_data(way, opened):
    found, (_, message) = opened[way], WAYS_IN[way]
    assert found["events"] == []
    assert found["code"] == (2 if message else 0), found["said"]
    assert message in found["said"]
    assert found["said"].count("\n") == 0


# What a run's folder names.

WORLD = [
    *(
        "env=Copy-v0",
        "env.symbols=5",
        "env.max_length=5",
        "env.horizon=8",
        "env.train=40",
        "env.valid=8",
        "env.test=12",
    ),
]
RUN = [
    *(
        "student.layers=1",
        "student.width=16",
        "student.heads=2",
        "student.ffn=16",
        "train.steps=2",
        "train.validations=1",
    ),
    *(
        "train.batch_tokens=128",
        "evaluate.speed_rows=4",
        "precision=float32",
        "device=cpu",
        "workers=1",
        "threads=1",
    ),
]
COMMANDS = {  # every command that opens a run's folder, quick; exposure_bias.py has lists
    "show": (),
    "speed": ("rows=4", "rounds=1", "threads=[1]", "beams=[1]", "batch_sizes=[4]"),
    "export": ("rows=4", "batch_sizes=[1]", "threads=1"),
    "exposure_bias": (
        "rows=12",
        "resamples=2",
        "corrupt_at=1",
        "corrupt=1",
        "threads=1",
        "workers=1",
        "out=bias",
    ),
}


def settings(text: str) -> Spoil:
    """A line more in a run's config.yaml."""

    def spoil(run: Path) -> None:
        (run / "config.yaml").write_text((run / "config.yaml").read_text() + text)

    return spoil


def named_teacher(path: object) -> Spoil:
    def spoil(run: Path) -> None:
        place = run.parent.parent
        named = path.format(place=place) if isinstance(path, str) else path
        edit(
            run / "results.json", teacher={"path": named, "architecture": "marian", "parameters": 1}
        )

    return spoil


def dotted(run: Path) -> None:
    (run / "evil.py").write_text(canary(run))
    shutil.copy(run / "evil.py", run.parent.parent / "cwd" / "evil.py")
    text = (run / "config.yaml").read_text()
    assert "  name: bc\n" in text
    (run / "config.yaml").write_text(text.replace("  name: bc\n", "  name: evil.Evil\n"))


def of_the_hub(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    env = "env:\n  name: IWSLT-v0\n  corpus: hub\n  hub: evil/data\n"
    (run / "config.yaml").write_text(env + text[text.index("teacher:") :])


FILLED_IN = "a tag, an alias, ${…} or too deep"
RUNS: dict[str, tuple[Spoil, str]] = {
    "dotted name": (dotted, ""),
    "teacher, pickle": (
        named_teacher("hf:{place}/in/pickle"),
        f"{INDEX} names 'model-00002-of-00002.bin'",
    ),
    "teacher, hub": (
        named_teacher("hf:evil/model"),
        "a run's folder downloads nothing: run `hf download evil/model` first",
    ),
    "teacher, list": (
        named_teacher(["hf:evil/model"]),
        'is corrupted (results.teacher.path is ["hf:evil/model"])',
    ),
    "corpus, hub": (of_the_hub, "a run's folder downloads nothing"),
    "environment": (settings("x: ${oc.env:HOME}\n"), FILLED_IN),
    "key of the environment": (settings("${oc.env:HOME}: 1\n"), FILLED_IN),
    "tag": (settings("x: !!python/object/apply:os.system [touch canary]\n"), FILLED_IN),
    "path tag": (settings("x: !!python/object/apply:pathlib.PosixPath [/etc]\n"), FILLED_IN),
    "alias": (settings("x: &x [1]\ny: [*x, *x]\n"), FILLED_IN),
    "nested settings": (settings("x: " + "[" * 10**4), FILLED_IN),
    "large settings": (settings("x: 1\n" * 2**16), "at most 65,536 are read"),
    "nested results": (replaced("results.json", "[" * 10**5), "is corrupted"),
}


@pytest.fixture(scope="module")
def commanded(tmp_path_factory, place) -> dict[str, dict[str, Any]]:
    """``{command or way in: what happened}``, with a teacher that holds custom_generate."""
    torch.manual_seed(0)
    teacher, run = place / "in" / "teacher", place / "runs" / "good"
    task = cli.read("dagger", WORLD)
    texts = build_task(task).splits["train"].texts.sources
    copier(teacher, texts, steps=1)
    taught = [*WORLD, *RUN, "algorithm=bc", f"teacher.path=hf:{teacher}"]
    dagger.main(cli.read("dagger", [*taught, f"out={run}"]))
    index_of_a_pickle(shutil.copytree(teacher, place / "in" / "pickle"))
    custom_generate(teacher)
    jobs = {name: ["run", name, f"run={run}", *words] for name, words in COMMANDS.items()}
    jobs["dagger"] = ["run", "dagger", *taught, f"init={run}", f"out={place / 'runs' / 'next'}"]
    jobs["compare"] = [
        "run",
        "compare",
        *taught[:-2],
        taught[-1],
        "algorithms=[bc]",
        "beams=[1]",
        "out=compared",
    ]
    for name, (spoil, _) in RUNS.items():
        spoilt = shutil.copytree(run, place / "runs" / name)
        spoil(spoilt)
        jobs[name] = ["run", "show", f"run={spoilt}"]
    imports = (
        *COMMANDS,
        "dagger",
        "compare",
        "agents.policies.pretrained",
        "agents.interop.ctranslate2",
        "matplotlib.pyplot",
    )
    return dict(zip(jobs, under_audit(place, list(jobs.values()), imports), strict=True))


@pytest.mark.parametrize("command", [*COMMANDS, "dagger", "compare"])
def test_every_command_opens_a_teacher_with_code_and_runs_none(command, commanded):
    found = commanded[command]
    assert found["events"] == []
    assert found["code"] == 0, found["said"]
    assert "teacher: opened from " in found["said"]


@pytest.mark.parametrize("way", RUNS)
def test_what_a_runs_folder_names_is_neither_run_nor_fetched(way, commanded):
    found, (_, message) = commanded[way], RUNS[way]
    assert found["events"] == []
    assert found["code"] == (2 if message else 0), found["said"]
    assert message in found["said"]
    assert found["said"].count("error: ") == bool(message)


# What is as it should be is opened.


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    return FAMILIES["gpt2"](tmp_path_factory.mktemp("good"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_pretrained(str(folder)).model.state_dict()


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        torch.equal(left[name], right[name]) for name in left
    )


def test_weights_in_several_files_are_read(good, tmp_path):
    model = transformers.AutoModelForCausalLM.from_pretrained(good)
    folder = Path(shutil.copytree(good, tmp_path / "shards"))
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="10KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert same(weights(folder), weights(good))


def in_the_hubs_cache(good: Path, cache: Path) -> Path:
    """The model ``evil/model`` as huggingface_hub keeps it: links into ``blobs``."""
    repository = cache / "models--evil--model"
    snapshot = repository / "snapshots" / ("0" * 40)
    for folder in (snapshot, repository / "blobs", repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    for number, path in enumerate(sorted(good.iterdir())):
        shutil.copy(path, repository / "blobs" / str(number))
        (snapshot / path.name).symlink_to(Path("../../blobs", str(number)))
    return snapshot


def test_a_model_in_the_hubs_cache_is_links_within_it(good, tmp_path, monkeypatch):
    snapshot = in_the_hubs_cache(good, tmp_path)
    assert same(weights(snapshot), weights(good))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with local_only():
        assert same(load_pretrained("evil/model").model.state_dict(), weights(good))
    (snapshot / "model.safetensors").unlink()
    shutil.move(tmp_path / "models--evil--model" / "blobs", tmp_path / "blobs")
    (tmp_path / "models--evil--model" / "blobs").symlink_to(tmp_path / "blobs")
    with pytest.raises(UserError, match="links out of the folder"):
        load_pretrained(str(snapshot))


def test_of_a_model_on_the_hub_only_the_allow_list_is_downloaded(good, monkeypatch):
    asked = {}

    def download(name, **options):
        asked[name] = options
        return str(good)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    load_pretrained("owner/name")
    patterns = asked["owner/name"]["allow_patterns"]
    refused = [
        *("generate.py", "custom_generate/generate.py", "pytorch_model.bin"),
        *("model.gguf", "chat_template.jinja"),
    ]
    assert {path.name for path in good.iterdir()} - {"chat_template.jinja"} <= {*patterns}
    assert not [name for name in refused for pattern in patterns if fnmatch(name, pattern)]


def test_a_model_keeps_its_own_settings(good, tmp_path):
    """The view leaves out what its class does not know, and nothing else: also for parts and for older names of a key."""
    for name in ("gpt2", "mpt", "marian", "t5", "llama"):
        folder = FAMILIES[name](tmp_path / name)
        theirs = transformers.AutoConfig.from_pretrained(folder).to_dict()
        ours = load_pretrained(str(folder)).model.config.to_dict()
        assert without_dtype(ours) == without_dtype(theirs)


def without_dtype(config: dict[str, Any]) -> dict[str, Any]:
    """The weights are float32 here, whatever they were."""
    left_out = {"dtype", "torch_dtype", "_name_or_path"}
    kept = {key: value for key, value in config.items() if key not in left_out}
    return {
        key: without_dtype(value) if isinstance(value, dict) else value
        for key, value in kept.items()
    }


# Data sets.


def data_set(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        (folder / f"{split}.jsonl").write_text(
            json.dumps({"de": f"das {split}", "en": f"the {split}"}) + "\n"
        )
    return folder


def script(folder: Path) -> None:
    (folder / f"{folder.name}.py").write_text(canary(folder))


def readme(folder: Path) -> None:
    """Data files elsewhere, as a data set's card may name them."""
    for split in ("train", "validation", "test"):
        shutil.move(folder / f"{split}.jsonl", outside(folder) / f"{split}.jsonl")
    files = [
        {"split": split, "path": str(outside(folder) / f"{split}.jsonl")}
        for split in ("train", "validation", "test")
    ]
    (folder / "README.md").write_text(
        f"---\nconfigs:\n- {json.dumps({'config_name': 'default', 'data_files': files})}\n---\n"
    )


def urls(folder: Path) -> None:
    (folder / "README.md").write_text(
        "---\nconfigs: [{config_name: a, data_files: 'https://evil.invalid/train.csv'}]\n---\n"
    )


def pickled_rows(folder: Path) -> None:
    for split in ("train", "validation", "test"):
        (folder / f"{split}.jsonl").rename(folder / f"{split}.pkl")


def image(folder: Path) -> None:
    """A column that says it is an image, and where that lies."""
    datasets = pytest.importorskip("datasets")
    for split in ("train", "validation", "test"):
        (folder / f"{split}.jsonl").unlink()
        (outside(folder) / "secret.png").write_bytes(b"secret")
        rows = [{"de": "das", "en": {"bytes": None, "path": str(outside(folder) / "secret.png")}}]
        features = datasets.Features({"de": datasets.Value("string"), "en": datasets.Image()})
        datasets.Dataset.from_list(rows, features=features).to_parquet(folder / f"{split}.parquet")


DATA: dict[str, tuple[Spoil, str]] = {
    "script": (script, ""),
    "url": (urls, ""),
    "card": (readme, "it has no train split of .parquet, .jsonl, .json, .csv files"),
    "pickle": (pickled_rows, "it has no train split"),
    "link": (linked_outside("train.jsonl"), "train.jsonl is a link out of the folder"),
    "image": (image, "column en has type dict, not text"),
    "name": (
        lambda f: (f / "train.jsonl").rename(f / "train::x.jsonl"),
        "letters, digits and . _ = -",
    ),
}


@pytest.fixture(scope="module")
def read_sets(place) -> dict[str, dict[str, Any]]:
    pytest.importorskip("datasets", reason="the hub extra (datasets) is not installed")
    jobs = []
    for name, (spoil, _) in DATA.items():
        folder = data_set(place / "in" / f"set-{name}")
        spoil(folder)
        jobs.append(["data", str(folder)])
    return dict(
        zip(DATA, under_audit(place, jobs, ("datasets", "textgen_env.data.hub")), strict=True)
    )


@pytest.mark.parametrize("way", DATA)
def test_a_data_set_is_data(way, read_sets):
    found, (_, message) = read_sets[way], DATA[way]
    assert found["events"] == []
    assert found["code"] == (2 if message else 0), found["said"]
    assert message in found["said"]


def test_of_a_data_set_on_the_hub_only_tables_are_downloaded(tmp_path, monkeypatch):
    pytest.importorskip("datasets", reason="the hub extra (datasets) is not installed")
    folder, asked = data_set(tmp_path / "set" / "a"), {}

    def download(name, **options):
        asked[name] = options
        return str(folder.parent)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr("textgen_env.data.hub.unreachable_reason", lambda name: "")
    assert load_hub(HubDataset("Set", "owner/set", "de", "en", "a", "main")).splits[
        "test"
    ].sources == ["das test"]
    assert set(asked["owner/set"]["allow_patterns"]) == {
        "a/*.parquet",
        "a/*.jsonl",
        "a/*.json",
        "a/*.csv",
    }
    assert asked["owner/set"]["revision"] == "main"


def test_nothing_that_a_run_names_is_downloaded(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with local_only(), pytest.raises(UserError, match="a run's folder downloads nothing"):
        load_hub(HubDataset("Set", "owner/set", "de", "en"))
