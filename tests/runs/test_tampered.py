"""Every command that opens a run folder refuses a damaged or hostile file in one line.

One table of (file, damage) and one of the readers; each reader meets the damages of the files that
it opens. No damage may hang a command, take its memory or end in a traceback.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors.torch import save_file

import compare
import dagger
import export
import exposure_bias
import generate
import score
import show
import speed
from agents.training.checkpoint import load_tensors, save_tensors
from support.cases import others_slow
from support.commands import CPU, SEQKD, run_in_process
from support.files import truncate
from textgen_env.data.files import load_json, save_json

Damage = Callable[[Path], object]
BEST, LAST = "checkpoints/best.safetensors", "checkpoints/last.safetensors"


def content(data: bytes | str) -> Damage:
    """The file holds ``data``."""
    return lambda path: path.write_bytes(data.encode() if isinstance(data, str) else data)


def torn(path: Path) -> None:
    path.write_bytes(truncate(path.read_bytes()))


def named_pipe(path: Path) -> None:
    """Reading it would block for ever."""
    path.unlink()
    os.mkfifo(path)


def appended(text: str) -> Damage:
    return lambda path: path.write_text(path.read_text() + text)


def replaced(old: str, new: str) -> Damage:
    def damage(path: Path) -> None:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return damage


def edited(*keys: str, value: Any) -> Damage:
    """A JSON file with another value; ``...`` deletes it."""
    return lambda path: path.write_text(
        json.dumps(changed(json.loads(path.read_text()), keys, value))
    )


def changed(node: Any, keys: tuple[str, ...], value: Any) -> Any:
    if not keys:
        return value
    first, *rest = keys
    if value is ... and not rest:
        del node[first]
    else:
        node[first] = changed(node.get(first), tuple(rest), value)
    return node


def header(*keys: str, value: Any) -> Damage:
    """A checkpoint with another value in its header and the right checksum."""

    def damage(path: Path) -> None:
        tensors, head = load_tensors(path)
        save_tensors(path, tensors, changed(head, keys, value))

    return damage


def text_header(text: str) -> Damage:
    """A checkpoint whose header is ``text``."""

    def damage(path: Path) -> None:
        tensors, _ = load_tensors(path)
        save_file(tensors, path, {"format": "textgen-env/3", "header": text, "checksum": ""})

    return damage


def nested(depth: int) -> Any:
    node: Any = 1
    for _ in range(depth):
        node = [node]
    return node


ALIASES = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 30)
)
SETTING = ("architecture", "settings")
DAMAGES: dict[str, dict[str, Damage]] = {
    "config.yaml": {
        "torn": content("env: [}"),
        "list": content("- env"),
        "not UTF-8": content(b"env: \xff"),
        "nested aliases": appended(ALIASES),
        "interpolation": appended("x: ${oc.env:HOME}\n"),
        "missing value": replaced("train: 200", "train: ???"),
        "large": appended("x: 1\n" * 2**16),
        "text as beam": replaced("beam: 1", "beam: x"),
        "evaluate is a list": replaced("evaluate:\n", "evaluate: []\nold:\n"),
        "large corpus": replaced("train: 200", "train: 999999999999999999"),
    },
    "results.json": {
        "torn": torn,
        "list": content("[1]"),
        "deeply nested": content("[" * 10**5),
        "nested value": edited("more", value=nested(200)),
        "long number": content('{"cost": ' + "9" * 10**4 + "}"),
        "huge number": edited("cost", "seconds", value=10**400),
        "not UTF-8": content(b'{"env": "\xff"}'),
        "half a character": edited("env", value="\ud800"),
    },
    BEST: {
        "torn": torn,
        "empty": content(b""),
        "header is a list": header(value=[1]),
        "header is no JSON": text_header("{"),
        "nested header": text_header("[" * 10**5),
        "no vocabulary": header("vocabulary", value=...),
        "no architecture": header("architecture", value=...),
        "layers of text": header(*SETTING, "layers", value="x"),
        "width of a billion": header(*SETTING, "width", value=10**9),
        "width of 16,384": header(*SETTING, "width", value=16_384),
        "ffn that is not in the file": header(*SETTING, "ffn", value=8192),
        "no heads": header(*SETTING, "heads", value=0),
    },
    LAST: {
        "torn": torn,
        "header is a list": header(value=[1]),
        "more progress": header("progress", "more", value=1),
        "negative step": header("progress", "step", value=-1),
    },
    "metrics.jsonl": {
        "torn line": lambda path: path.write_bytes(b'{"step": 1, "pha\n' + path.read_bytes()),
        "no step": appended('{"phase": "student"}\n'),
        "huge step": appended('{"phase": "student", "step": 1e999}\n'),
        "not UTF-8": lambda path: path.write_bytes(b"\xff\n" + path.read_bytes()),
    },
    "vocabulary.json": {
        "torn": torn,
        "list": content("[1]"),
        "duplicates": replaced('"b":5', '"b":4'),
        "text as id": replaced('"b":5', '"b":"x"'),
        "not UTF-8": content(b"\xff"),
        "no unknown token": replaced('"unk_token":"<unk>"', '"unk_token":"none"'),
        "pipe": named_pipe,
    },
}

TASK = [word for word in SEQKD if word not in ("algorithm=seqkd", "out=run")]
NEW = [*(word for word in TASK if not word.startswith("teacher")), "algorithm=bc", "out=new"]


class Reader(NamedTuple):
    """A command that opens the run, the files of it that the command reads, and where it is."""

    command: Any
    overrides: list[str]
    files: tuple[str, ...]
    run: str = "run"


LOADED = ("config.yaml", "results.json", BEST)
READERS = {
    "show": Reader(show, ["run=run", *CPU], LOADED),
    "speed": Reader(speed, ["run=run", *CPU], LOADED),
    "exposure_bias": Reader(exposure_bias, ["run=[run]", *CPU], LOADED),
    "export": Reader(export, ["run=run", *CPU], LOADED),
    "generate": Reader(
        generate, ["run=run", "input=lines", "device=cpu"], (BEST, "vocabulary.json")
    ),
    "score": Reader(score, ["run=run", "device=cpu"], (*LOADED, "vocabulary.json")),
    "init": Reader(dagger, [*NEW, "init=run"], (BEST,)),
    "teacher.path": Reader(dagger, [*NEW, "teacher.path=run"], ("results.json", BEST)),
    "resume": Reader(dagger, ["out=run", "resume=true"], (*LOADED, LAST, "metrics.jsonl")),
    "compare": Reader(
        compare,
        [*TASK, "algorithms=[seqkd]", "beams=[1]", "out=all"],
        (*LOADED, "metrics.jsonl"),
        "all/seqkd-transformer-seed0",
    ),
}
NEEDS = {"export": "ctranslate2"}


LONG = ("resume", "compare")  # commands that read all settings of a run again


def cases() -> Iterator[Any]:
    """Each damage with one of its short readers, or one with a long reader; slow are a few more.

    As in a Latin square, each reader meets every fourth damage of a file, and each damage every
    fourth reader: a reader has one path for all damages of a kind.
    """
    for file, damages in DAMAGES.items():
        readers = [name for name, reader in READERS.items() if file in reader.files]
        short = [name for name in readers if name not in LONG]
        for number, damage in enumerate(damages):
            for column, reader in enumerate(readers):
                chosen = reader == short[number % len(short)] if short else False
                chosen |= reader in LONG and number == LONG.index(reader)
                if chosen or (number + column) % 4 == 0:
                    name = f"{reader}-{file}-{damage}"
                    marks = [] if chosen else [pytest.mark.slow]
                    yield pytest.param(reader, file, damage, id=name, marks=marks)


@pytest.mark.parametrize(("name", "file", "damage"), list(cases()))
def test_damaged_file_is_named_in_one_line(workspace, name: str, file: str, damage: str):
    reader = READERS[name]
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    Path("lines").write_text("a b\n")
    Path(reader.run).parent.mkdir(exist_ok=True)
    Path("run").rename(reader.run)
    DAMAGES[file][damage](Path(reader.run, file))
    *_, last_line = run_in_process(reader.command, *reader.overrides, code=2).splitlines()
    assert last_line.startswith("error: ")
    assert Path(file).name in last_line


# --- what is made again instead


AGAIN = {
    "outputs of the student": ("run/outputs/*.json", "generated again"),
    "outputs of the teacher": ("cache/outputs/*/*.json", "generated again"),
    "the teacher": ("cache/teachers/*/checkpoints/best.safetensors", "trained again"),
    "demonstrations": ("cache/demonstrations/*/*.safetensors", "generated again"),
    "cost of the teacher": ("cache/teachers/*/cost.json", "the cost of the teacher is unknown"),
    "end of its training": ("cache/teachers/*/training.json", "the training of the teacher is"),
}
WRONG = {
    "list": [1],
    "texts of numbers": {"model": "", "texts": [1]},
    "text": "x",
    "nested": nested(300),
}


@pytest.mark.parametrize(("pattern", "message"), others_slow(AGAIN))
def test_damaged_cache_is_named_and_made_again(workspace, pattern: str, message: str):
    (path,) = Path().glob(pattern)
    torn(path)
    output = run_in_process(dagger, "out=run", "resume=true")
    assert any(path.name in line and message in line for line in output.splitlines())


@pytest.mark.parametrize("value", others_slow(WRONG))
def test_outputs_and_cost_with_a_valid_checksum_but_other_content(workspace, value: Any):
    outputs, cost = *Path().glob("run/outputs/*.json"), *Path().glob("cache/teachers/*/cost.json")
    for path in (outputs, cost):
        save_json(path, value)
    output = run_in_process(dagger, "out=run", "resume=true")
    assert f"{outputs} is corrupted (content" in output
    assert "the cost of the teacher is unknown" in output
    assert load_json(outputs) != value
