"""Control characters of untrusted text never reach a terminal, an error, a page or a JSON file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from agents.evaluation.sentence import Choice, Prediction, Sentence, Step
from agents.reporting import sentence as view
from agents.reporting.page import save_html
from agents.reporting.text import samples_text
from support.corpora import error_message, read_folder
from textgen_env import TextGenEnv
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.files import load_json, save_json
from textgen_env.data.limit import Limit
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.tasks.task import Task
from textgen_env.terminal import Terminal, escape_controls, safe_json

# Clears the screen, sets the title, changes the color by a C1 control, overrides the direction of
# text, isolates, erases, deletes, and ends the line.
HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31m\u202eabc\u2066\x08\r\x7f\x85"
# every control except the line feed
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def test_visible_escapes_controls_and_nothing_else() -> None:
    controls = "\x1b[31m\x9b\x00\x7f\u202e\u2069\ud800\n"
    assert escape_controls(controls) == r"\x1b[31m\x9b\x00\x7f\u202e\u2069\ud800\n"
    assert escape_controls("a\tb\n\x1b", keep="\n") == "a\\tb\n\\x1b"
    for text in ("grüße, 你好 שלום\u200f न्\u200dय 👩\u200d🚀 ‹a≠b›", ""):
        assert escape_controls(text) == text


def test_terminal_escapes_controls_in_all_renderables() -> None:
    terminal = Terminal(width=300, force_terminal=True, color_system="truecolor")
    table = Table(HOSTILE, title=HOSTILE, caption=Text(HOSTILE))
    table.add_row(Text(HOSTILE, style="red"))
    with terminal.capture() as captured:
        terminal.print(HOSTILE, Text(HOSTILE), table, "[bold]a[/b", soft_wrap=True)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", captured.get())  # rich's own colors
    assert not CONTROL.search(shown)
    assert shown.count(r"\x1b[2J") == 6
    assert "[bold]a[/b" in shown


def test_error_escapes_controls(tmp_path: Path) -> None:
    (folder := tmp_path / "a\nb\x1b[2J").mkdir()
    assert r"a\nb\x1b[2J" in error_message(read_folder, folder, "de", "en")


def test_samples_and_report_page_escape_controls(tmp_path: Path) -> None:
    texts = dict.fromkeys(("source", "reference", "teacher", "student"), HOSTILE)
    sample = {"index": 0, **texts}
    assert not CONTROL.search(samples_text([sample]))
    assert samples_text([sample]).count(r"\u202e") == 4
    results = {"env": HOSTILE, "versions": {HOSTILE: HOSTILE}}
    page = save_html(tmp_path, results, [], [sample], HOSTILE).read_text()
    assert not CONTROL.search(page.replace("\t", ""))
    assert page.count(r"\x1b[2J") == 2 + 2 + 4 + 1


def test_sentence_view_escapes_controls() -> None:
    choices = [Choice(HOSTILE, 0.9), Choice("a", 0.1)]
    side = Prediction(0.9, 1, choices)
    step = Step(HOSTILE, HOSTILE, side, side)
    sentence = Sentence("test", 0, HOSTILE, HOSTILE, HOSTILE, HOSTILE, [step])
    terminal = Terminal(width=300, color_system=None)
    with terminal.capture() as captured:
        terminal.print(view.terminal_view(sentence, HOSTILE))
    assert not CONTROL.search(captured.get())
    assert r"\x9b31m" in captured.get()
    assert not CONTROL.search(view.html_page(sentence, HOSTILE).replace("\t", ""))


def test_rendered_episode_escapes_controls(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["a", "\x1b[2J\u202e"]
    pairs = Pairs(["a \x1b[2J\u202e"], [("\x1b[2J\u202e a",)])
    corpus = Corpus("c\x1b[2J", "local", "here", dict.fromkeys(("train", "valid", "test"), pairs))
    vocabulary, sizes = Vocabulary.from_words(words), {"source_limit": 4, "limit": Limit(4)}
    task = Task("W-v0", corpus, vocabulary, **sizes, metric="bleu", reward="bleu")
    assert not CONTROL.search("\n".join(task.describe()))
    for mode in ("ansi", "human"):
        env = TextGenEnv(task, render_mode=mode)
        env.reset(seed=0)
        rendered = [str(env.render())]
        for action in (5, 2):
            env.step(action)
            rendered.append(str(env.render()))
        shown = "\n".join(rendered) if mode == "ansi" else capsys.readouterr().out
        assert not CONTROL.search(re.sub(r"\x1b\[[0-9;]*m", "", shown))
        assert r"\x1b[2J" in shown


def test_json_files_escape_controls_and_keep_the_text(tmp_path: Path) -> None:
    escaped = safe_json(json.dumps([HOSTILE, "ü"], ensure_ascii=False))
    assert json.loads(escaped) == [HOSTILE, "ü"]
    assert "ü" in escaped
    assert not CONTROL.search(escaped)
    save_json(tmp_path / "f.json", ["a\x9bb", "c\u202e"])
    assert not CONTROL.search((tmp_path / "f.json").read_text())
    assert load_json(tmp_path / "f.json") == ["a\x9bb", "c\u202e"]
    vocabulary = Vocabulary.from_words(["a\x9b", "b"])
    vocabulary.save(tmp_path / "v.json")
    assert not CONTROL.search((tmp_path / "v.json").read_text())
    assert Vocabulary.load(tmp_path / "v.json").fingerprint == vocabulary.fingerprint
