"""Text that nobody should trust: sizes have limits, controls are visible, what shows nothing is empty."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from agents.evaluation.sentence import Choice, Sentence, Side, Step
from agents.reporting import sentence as view
from agents.reporting.page import save_html
from agents.reporting.text import samples_text
from textgen_env import TextGenEnv
from textgen_env.data import files
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.files import is_blank, load_json, save_json, stream_lines
from textgen_env.data.jsonl import read_pairs, read_summaries
from textgen_env.data.limit import Limit
from textgen_env.data.readers import clean, read_folder
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task
from textgen_env.terminal import Terminal, safe_json, visible

# One of each kind: clears the screen, sets the title, the same as a C1 control, an override of direction, erases, rings.
HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31m\u202eabc\u2066\x08\r\x7f\x85"
CONTROL = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
)  # all but the line feed


def folder_of(folder: Path, line: bytes, suffix: str = "") -> Path:
    """A de–en folder whose second training line is ``line`` on the German side."""
    folder.mkdir(exist_ok=True)
    for stem in ("train", "valid", "test"):
        for language in ("de", "en"):
            data = b"eins\n" + (line if (stem, language) == ("train", "de") else b"zwei") + b"\n"
            (folder / f"{stem}.{language}{suffix}").write_bytes(
                gzip.compress(data) if suffix else data
            )
    return folder


def refusal(call, *args) -> str:
    with pytest.raises(UserError) as caught:
        call(*args)
    assert not CONTROL.search(str(caught.value))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- limits


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"a" * (files.MAX_LINE + 1), "train.de{}:2: a line of more than 1,048,576 bytes"),
        (
            b"a" * (files.MAX_TEXT + 1),
            "train.de{}:2: a text of 100,001 characters, at most 100,000",
        ),
        (b"a b " * files.MAX_TEXT, "train.de{}:2: a text of 399,999 characters"),
    ],
)
def test_a_line_that_is_too_long_is_placed(
    tmp_path: Path, line: bytes, says: str, suffix: str
) -> None:
    assert says.format(suffix) in refusal(
        read_folder, folder_of(tmp_path / "c", line, suffix), "de", "en"
    )


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("limit", "value", "says"),
    [
        ("MAX_FILE", 1000, "more than 1,000 bytes of text"),
        ("MAX_LINES", 100, "more than 100 lines"),
    ],
)
def test_a_file_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, says: str, suffix: str
) -> None:
    monkeypatch.setattr(files, limit, value)
    folder = folder_of(tmp_path / "c", b"zwei\n" * 300, suffix)
    assert f"train.de{suffix}: {says}" in refusal(read_folder, folder, "de", "en")


def test_a_packed_file_is_unpacked_only_as_far_as_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_FILE", 1000)
    bomb = gzip.compress(b"eins\n" * 100_000)
    (tmp_path / "f.gz").write_bytes(
        bomb[:-9]
    )  # its end is missing, which nobody notices who stops before it
    assert "more than 1,000 bytes" in refusal(
        lambda path: list(stream_lines(path)), tmp_path / "f.gz"
    )


def test_xml_json_and_vocabularies_have_the_limits_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "a" * (files.MAX_TEXT + 1)
    (tmp_path / "f.jsonl").write_text(json.dumps({"document": long, "summary": "b"}) + "\n")
    assert "f.jsonl:1: document: a text of 100,001 characters" in refusal(
        read_pairs, tmp_path / "f.jsonl"
    )
    (tmp_path / "train.tags.de-en.de").write_text(f"eins\n{long}\n")
    for name in (
        "train.tags.de-en.en",
        "IWSLT14.TED.tst2010.de-en.de.xml",
        "IWSLT14.TED.tst2010.de-en.en.xml",
    ):
        (tmp_path / name).write_text("eins\nzwei\n")
    assert "train.tags.de-en.de:2: a text of" in refusal(read_folder, tmp_path, "de", "en")
    monkeypatch.setattr(files, "MAX_JSON", 100)
    Vocabulary.words(["a"]).save(tmp_path / "vocabulary.json")
    assert "vocabulary.json:1: a line of more than 100 bytes" in refusal(
        Vocabulary.load, tmp_path / "vocabulary.json"
    )


@pytest.mark.parametrize("size", [10_000, 40_000])
def test_segments_without_an_end_are_found_in_one_pass(tmp_path: Path, size: int) -> None:
    (tmp_path / "train.tags.de-en.de").write_text("eins\n" * 30)
    (tmp_path / "train.tags.de-en.en").write_text("one\n" * 30)
    for language in ("de", "en"):
        (tmp_path / f"a.de-en.{language}.xml").write_text(
            '<doc docid="1">\n' + "<seg id='1'\n" * size
        )
    assert "0 <seg> open but 0 are whole" in refusal(read_folder, tmp_path, "de", "en")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a" * 100_001, "train row 1: a text of 100,001 characters"),
        ("\ud800", "train row 1: half a character"),
        (None, "train row 1: NoneType where a text is expected"),
    ],
)
def test_a_corpus_made_in_python_keeps_the_limits(text: str, says: str) -> None:
    assert says in refusal(
        Corpus, "c", "local", "here", {"train": Pairs(["a", "b"], [("a",), (text,)])}
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [("a" * 100_001, "a text of 100,001 characters"), ("\ud800", "half a character")],
)
def test_the_tokenizer_is_given_nothing_that_it_cannot_take(text: str, says: str) -> None:
    assert says in refusal(Vocabulary.words(["a"]).encode, text)
    assert says in refusal(Vocabulary.train, ["a", text], 100)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"document": "a", "document": "b", "summary": "c"}', "the field document is given twice"),
        ('{"document": ' + "[" * 100_000, "brackets within brackets"),
        ('{"document": 1' + "0" * 5000 + "}", "cannot be read"),
        ('{"document": "\\ud800", "summary": "b"}', "document has half a character"),
        ('{"\\u001b[2J\\ud800": "a"}', "its fields: \\x1b[2J\\ud800"),
        ('{"document": "\\u0000\\u200b", "summary": "b"}', "document is empty"),
    ],
)
def test_a_hostile_line_of_json_is_one_line(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "train.jsonl").write_text(line + "\n")
    assert says in refusal(read_summaries, tmp_path)


# --- what shows nothing


BLANK = [
    "",
    " \t",
    "\0",
    "\0\0",
    "\u200b",
    "\ufeff\u200d",
    "\u2060\u00ad",
    "\u3164",
    "\u2800",
    "\x1b",
    "\u202e",
    "\ufe0f",
]


@pytest.mark.parametrize("text", BLANK)
def test_text_that_shows_nothing_is_empty(tmp_path: Path, text: str) -> None:
    assert is_blank(text)
    assert clean(text) == ""
    if text:
        folder = folder_of(tmp_path / "c", text.encode())
        assert "train.de:2: empty line" in refusal(read_folder, folder, "de", "en")
        (tmp_path / "c" / "train.de").write_bytes(text.encode() + b"\n" + text.encode())
        assert "train.de: the file is empty" in refusal(read_folder, folder, "de", "en")


@pytest.mark.parametrize(
    "text", ["a", "\0a", "\u200b.", "न्\u200dय", "⠁", "\u0301", "\ue000", "👩\u200d🚀"]
)
def test_what_shows_anything_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


# --- controls


def test_every_control_is_shown_and_all_else_stays() -> None:
    assert (
        visible("\x1b[31m\x9b\x00\x7f\u202e\u2069\ud800\n")
        == r"\x1b[31m\x9b\x00\x7f\u202e\u2069\ud800\n"
    )
    assert visible("a\tb\n\x1b", keep="\n") == "a\\tb\n\\x1b"
    for text in ("grüße, 你好 שלום\u200f न्\u200dय 👩\u200d🚀 ‹a≠b›", ""):
        assert visible(text) == text


def test_a_terminal_shows_controls_in_every_kind_of_output() -> None:
    terminal = Terminal(width=300, force_terminal=True, color_system="truecolor")
    table = Table(HOSTILE, title=HOSTILE, caption=Text(HOSTILE))
    table.add_row(Text(HOSTILE, style="red"))
    with terminal.capture() as captured:
        terminal.print(HOSTILE, Text(HOSTILE), table, "[bold]a[/b", soft_wrap=True)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", captured.get())  # rich's own colors
    assert not CONTROL.search(shown)
    assert shown.count(r"\x1b[2J") == 6
    assert "[bold]a[/b" in shown


def test_an_error_quotes_controls_as_escapes_on_one_line(tmp_path: Path) -> None:
    (folder := tmp_path / "a\nb\x1b[2J").mkdir()
    assert r"a\nb\x1b[2J" in refusal(read_folder, folder, "de", "en")


def test_samples_and_pages_show_controls(tmp_path: Path) -> None:
    sample = {
        "index": 0,
        "source": HOSTILE,
        "reference": HOSTILE,
        "teacher": HOSTILE,
        "student": HOSTILE,
    }
    assert not CONTROL.search(samples_text([sample]))
    assert samples_text([sample]).count(r"\u202e") == 4
    page = save_html(
        tmp_path, {"env": HOSTILE, "versions": {HOSTILE: HOSTILE}}, [], [sample], HOSTILE
    ).read_text()
    assert not CONTROL.search(page.replace("\t", ""))
    assert page.count(r"\x1b[2J") == 2 + 2 + 4 + 1


def test_a_sentence_in_the_terminal_and_on_its_page_shows_controls() -> None:
    choices = [Choice(HOSTILE, 0.9), Choice("a", 0.1)]
    side = Side(0.9, 1, choices)
    step = Step(HOSTILE, HOSTILE, side, side)
    sentence = Sentence("test", 0, HOSTILE, HOSTILE, HOSTILE, HOSTILE, [step])
    terminal = Terminal(width=300, color_system=None)
    with terminal.capture() as captured:
        terminal.print(view.terminal_view(sentence, HOSTILE))
    assert not CONTROL.search(captured.get())
    assert r"\x9b31m" in captured.get()
    assert not CONTROL.search(view.html_page(sentence, HOSTILE).replace("\t", ""))


def test_an_episode_shows_controls(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["a", "\x1b[2J\u202e"]
    pairs = Pairs(["a \x1b[2J\u202e"], [("\x1b[2J\u202e a",)])
    corpus = Corpus("c\x1b[2J", "local", "here", dict.fromkeys(("train", "valid", "test"), pairs))
    task = Task(
        "W-v0",
        corpus,
        Vocabulary.words(words),
        source_limit=4,
        limit=Limit(4),
        metric="bleu",
        reward="bleu",
    )
    assert not CONTROL.search("\n".join(task.describe()))
    for mode in ("ansi", "human"):
        env = TextGenEnv(task, render_mode=mode)
        env.reset(seed=0)
        drawn = [str(env.render())]
        for action in (5, 2):
            env.step(action)
            drawn.append(str(env.render()))
        shown = "\n".join(drawn) if mode == "ansi" else capsys.readouterr().out
        assert not CONTROL.search(re.sub(r"\x1b\[[0-9;]*m", "", shown))
        assert r"\x1b[2J" in shown


def test_json_keeps_the_text_and_holds_no_control(tmp_path: Path) -> None:
    written = safe_json(json.dumps([HOSTILE, "ü"], ensure_ascii=False))
    assert json.loads(written) == [HOSTILE, "ü"]
    assert "ü" in written
    assert not CONTROL.search(written)
    save_json(tmp_path / "f.json", ["a\x9bb", "c\u202e"])
    assert not CONTROL.search((tmp_path / "f.json").read_text())
    assert load_json(tmp_path / "f.json") == ["a\x9bb", "c\u202e"]
    vocabulary = Vocabulary.words(["a\x9b", "b"])
    vocabulary.save(tmp_path / "v.json")
    assert not CONTROL.search((tmp_path / "v.json").read_text())
    assert Vocabulary.load(tmp_path / "v.json").fingerprint == vocabulary.fingerprint
