"""The report: everything that was measured is in it, nothing that a corpus says can break it, and it needs no other file."""

from __future__ import annotations

import io
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console

from agents import reporting as report
from agents.reporting.facts import amount, duration
from agents.reporting.page import differences
from agents.reporting.plots import PANEL, panel_svg, panels
from textgen_env.data.corpus import Preprocessing
from textgen_env.errors import UserError
from textgen_env.metrics.scores import corpus_score, report_scores

VOID = {"meta", "link", "br", "hr", "img", "input"}
SIGNATURE = "nrefs:1|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:2.5.1"
HOSTILE = (
    "</pre></dd><script>alert('x')</script> & \"quoted\" 'single' $title ${config} "
    + "x" * 300
    + " شكرا"
)


def results(**changes: Any) -> dict[str, Any]:
    """A run's results.json, every figure different from every other."""
    return {
        "env": "IWSLT-v0",
        "algorithm": "imitkd_full",
        "seed": 17,
        "preset": "quick",
        "corpus": {
            "name": "iwslt14",
            "source": "local",
            "fingerprint": "9f3c2a71be04",
            "train": 53_113,
            "valid": 2_214,
            "test": 6_750,
        },
        "teacher": {
            "architecture": "transformer",
            "parameters": 11_873_280,
            "path": "teachers/9f3c",
        },
        "student": {"architecture": "gru", "parameters": 2_613_248},
        "scores": {
            "teacher": {"bleu": 36.42, "low": 35.51, "high": 37.28, "signature": SIGNATURE},
            "student": {"bleu": 34.17, "low": 33.24, "high": 35.08, "signature": SIGNATURE},
        },
        "speed": {
            "teacher_tokens_per_second": 4812.4,
            "student_tokens_per_second": 15530.9,
            "speedup": 3.227,
            "batch_size": 64,
            "beam": 5,
            "device": "cpu",
            "threads": 2,
        },
        "cost": {
            "student_tokens_decoded": 1_843_201,
            "teacher_tokens_scored": 4_811_377,
            "gradient_tokens": 5_120_444,
            "oracle_queries": 977_123,
            "seconds": 192.7,
        },
        "versions": {"torch": "2.13.0", "sacrebleu": "2.5.1"},
    } | changes


FIGURES = (
    *("36.4", "35.5", "37.3", "34.2", "33.2", "35.1", "−2.2"),
    *("11,873,280", "2,613,248", "4,812", "15,531", "3.2×"),
    *("1,843,201", "4,811,377", "5,120,444", "977,123", "3 min 13 s"),
    *("53,113", "2,214", "6,750", SIGNATURE),
)
EXACT = {
    "teacher": {"architecture": "exact", "parameters": None, "path": None},
    "scores": {
        "teacher": {},
        "student": {"accuracy": 99.5, "low": None, "high": None, "signature": "exact-match"},
    },
    "speed": {
        "teacher_tokens_per_second": None,
        "student_tokens_per_second": 812.0,
        "speedup": None,
    },
}


def rows(steps: int = 40, seed: int = 0) -> list[dict[str, Any]]:
    """Teacher and student phases with validation every tenth step."""
    generator = np.random.default_rng(seed)
    logged = []
    for phase in ("teacher", "student"):
        for step in range(1, steps + 1):
            row = {
                "step": step,
                "phase": phase,
                "loss": 5 / step + generator.random(),
                "lr": 1e-3,
                "tokens_per_second": 900.0,
            }
            row |= {"beta": 0.9**step} if phase == "student" else {}
            row |= {"valid_loss": 6 / step, "valid_bleu": 30 - 30 / step} if step % 10 == 0 else {}
            logged.append(row)
    return logged


def sample(index: int = 3, **texts: str) -> dict[str, Any]:
    plain = {
        "source": "das ist gut .",
        "reference": "that is good .",
        "teacher": "that is fine .",
        "student": "this is fine .",
    }
    return {"index": index, **plain, **texts}


class Page(HTMLParser):
    """A page taken apart; raises AssertionError where a tag closes what is not open."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute of <{tag}> is given twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


def page(folder: Path, found: dict[str, Any] | None = None, **changes: Any) -> Page:
    given = {
        "results": found or results(),
        "metrics": rows(),
        "samples": [sample()],
        "config_yaml": "seed: 17\n",
    } | changes
    return Page(report.html(folder, **given))


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of a run that lacks nothing."""
    found = results(profile={"roll-in": 30.0, "gradient step": 90.0})
    logged = [
        row | {"valid_rougeL": row["valid_bleu"] + 1} if "valid_bleu" in row else row
        for row in rows(120)
    ]
    return page(
        tmp_path_factory.mktemp("usual"),
        found,
        metrics=logged,
        config_yaml="train:\n  lr: 0.00123\n",
    )


def printed(found: dict[str, Any], width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(report.table(found))
    return console.file.getvalue()  # type: ignore[attr-defined]


# ---- metrics.jsonl


def test_metrics_come_back_as_they_were_logged(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    assert report.read_metrics(tmp_path) == rows()


def test_a_kill_at_any_byte_loses_at_most_the_last_row(tmp_path: Path) -> None:
    lines = [
        json.dumps({"step": step, "phase": "student", "note": "β"}, ensure_ascii=False).encode()
        for step in (1, 2)
    ]
    whole = b"\n".join(lines) + b"\n"
    for end in range(len(whole) + 1):
        (tmp_path / "metrics.jsonl").write_bytes(whole[:end])
        steps = [row["step"] for row in report.read_metrics(tmp_path)]
        assert steps == [1, 2][: (end >= len(lines[0])) + (end >= len(whole) - 1)]


@pytest.mark.parametrize("broken", ['{"step": 1', "3", "", "nonsense"])
def test_a_broken_line_before_the_last_is_named(tmp_path: Path, broken: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{broken}\n{{"step": 2}}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: not a JSON object"):
        report.read_metrics(tmp_path)


def test_a_folder_that_holds_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        report.read_metrics(tmp_path)


# ---- the terminal


def test_the_table_holds_every_figure() -> None:
    text = printed(results()).replace("\N{NO-BREAK SPACE}", " ")
    assert [figure for figure in FIGURES if figure not in text] == []
    assert "source local" in text
    assert "compare only with other runs" not in text


@pytest.mark.parametrize(("seconds", "tokens"), [(0.0, 0), (2.5, 1234), (0.0, 1234)])
def test_a_run_without_demonstrations_has_no_row_of_them(
    seconds: float, tokens: int, tmp_path: Path
) -> None:
    found = results(
        cost={
            "demonstrations_seconds": seconds,
            "demonstrations_tokens": tokens,
            "oracle_queries": 0,
        }
    )
    for text in (printed(found), page(tmp_path, found, metrics=[]).text):
        assert ("Time of the demonstrations" in text) == (seconds > 0)
        assert ("Tokens of the demonstrations" in text) == (tokens > 0)
        assert "Oracle queries" in text  # a zero that says something


def test_bundled_scores_are_said_to_compare_with_each_other_only(tmp_path: Path) -> None:
    found = results(
        corpus={
            "name": "grammar",
            "source": "bundled",
            "fingerprint": "ab",
            "train": 1,
            "valid": 1,
            "test": 1,
        }
    )
    assert "compare only with other runs" in " ".join(printed(found).split())
    assert "compare only with other runs" in page(tmp_path, found, metrics=[]).text


def test_the_table_prints_what_looks_like_console_markup() -> None:
    text = printed(
        results(env="[red]x[/red]", student={"architecture": "[/bold]", "parameters": 1})
    )
    assert "[red]x[/red]" in text
    assert "[/bold]" in text


def test_every_rouge_figure_is_shown(tmp_path: Path) -> None:
    texts = ["a cat sat on the mat", "two dogs ran"]
    sides = {
        "teacher": report.scores(corpus_score("rouge", texts, [(text,) for text in texts], 10))
    }
    sides["student"] = report.scores(
        corpus_score("rouge", ["a cat sat", "two dogs"], [(text,) for text in texts], 10)
    )
    values = {"rouge1", "rouge2", "rougeL", "rougeLsum"}
    assert sides["student"].keys() == values | {
        "low",
        "high",
        "signature",
        "preprocessing",
        "signatures",
    }
    found = results(scores=sides)
    for text in (printed(found), page(tmp_path, found, metrics=[]).text):
        for name in ("ROUGE-1", "ROUGE-2", "ROUGE-L"):
            assert name in text
        for key in ("rouge1", "rouge2", "low", "high"):
            assert f"{sides['student'][key]:.1f}" in text
        assert sides["student"]["signature"] in text


def test_what_was_done_to_the_text_and_every_signature_is_shown(tmp_path: Path) -> None:
    texts, references = (
        ["a cat sat on the mat", "two dogs ran"],
        [("a cat sat on it",), ("two dogs ran",)],
    )
    done = Preprocessing(unescape=True, lowercase=True)
    side = report.scores(report_scores("bleu", texts, references, 10), done)
    assert list(side)[:2] == ["bleu", "chrf"]
    assert side["preprocessing"] == "XML and Moses escapes undone, lowercased"
    assert "|nc:6|" in side["signatures"]["chrf"]
    found = results(scores={"teacher": side, "student": side})
    for text in (printed(found), page(tmp_path, found, metrics=[]).text):
        assert "chrF" in text
        for shown in (
            side["signature"],
            side["signatures"]["chrf"],
            f"preprocessing: {side['preprocessing']}",
        ):
            assert shown in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.34, "9.3 s"),
        (59.97, "1 min 00 s"),
        (192.7, "3 min 13 s"),
        (3599.6, "1 h 00 min"),
    ],
)
def test_durations_read_as_a_person_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_is_not_known_is_a_dash() -> None:
    assert [amount(value) for value in (None, 0, 1234567, 0.25, "cpu", True)] == [
        "–",
        "0",
        "1,234,567",
        "0.25",
        "cpu",
        "True",
    ]


# ---- samples.txt


def test_samples_are_aligned_wrapped_and_whole() -> None:
    long = " ".join(f"word{i}" for i in range(60))
    text = report.samples_text([sample(3, student=long), sample(8, teacher="")], width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert " ".join(text.split("sentence 8")[0].split("student")[1].split()) == long
    assert all(line[13] != " " for line in text.splitlines() if line.startswith("  "))
    assert [line[2:13].strip() for line in text.split("sentence 8")[1].splitlines()[1:]] == [
        "source",
        "reference",
        "teacher",
        "student",
    ]


# ---- curves.png


def test_curves_are_a_picture_of_the_data(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "same", "other")]
    for folder, seed in zip(folders, (0, 0, 1), strict=True):
        folder.mkdir()
        report.curves(folder, rows(10, seed))
    one, same, other = ((folder / "curves.png").read_bytes() for folder in folders)
    assert one == same != other
    height, width, _ = imread(folders[0] / "curves.png").shape
    assert width > 2 * 100 * PANEL[0]
    assert height > 2 * 100 * PANEL[1]


@pytest.mark.parametrize(
    "quantity", ["loss", "valid_loss", "valid_bleu", "beta", "tokens_per_second"]
)
def test_every_logged_quantity_is_drawn(quantity: str) -> None:
    before = rows(10)
    after = [*before[:-1], before[-1] | {quantity: before[-1][quantity] / 2}]
    (panel,) = (panel for panel in panels(before) if quantity in panel.keys)
    assert panel_svg(panel, before) != panel_svg(panel, after)


def test_only_panels_with_data_are_drawn() -> None:
    assert len(panels(rows())) == 4
    assert panels([]) == []
    assert [
        panel.title for panel in panels([{"step": 1, "phase": "student", "valid_rougeL": 12.0}])
    ] == ["Validation ROUGE-L"]
    assert panels([{"step": 1, "phase": "student", "loss": float("nan")}]) == []


def test_of_a_step_logged_twice_the_later_row_counts() -> None:
    twice = [
        {"step": step, "phase": "student", "loss": loss}
        for step, loss in ((1, 9.0), (2, 8.0), (2, 5.0), (3, 4.0))
    ]
    (series,) = panels(twice)[0].series(twice).values()
    assert series.tolist() == [[1, 2, 3], [9, 5, 4]]


@pytest.mark.parametrize(
    "logged", [[], rows()[:1], [rows()[-1]], rows(400)], ids=["nothing", "one", "validated", "many"]
)
def test_any_number_of_rows_is_drawn(tmp_path: Path, logged: list[dict[str, Any]]) -> None:
    assert len(report.curves(tmp_path, logged).read_bytes()) > 3_000
    assert ("Nothing was logged" in page(tmp_path, metrics=logged).text) == (logged == [])


@pytest.mark.parametrize(
    "changes", [EXACT, {"scores": {}, "speed": {}, "cost": {}, "corpus": {}, "versions": {}}]
)
def test_whatever_is_missing_the_rest_is_shown(tmp_path: Path, changes: dict[str, Any]) -> None:
    found = results(**changes)
    for shown in (page(tmp_path, found, metrics=rows()[:1], samples=[]).text, printed(found)):
        assert "2,613,248" in shown
        assert "None" not in shown
        assert not re.search(r"\bnan\b", shown)


# ---- report.html


def test_the_page_holds_every_figure_and_setting(usual: Page) -> None:
    text = usual.text.replace("\N{NO-BREAK SPACE}", " ")
    assert [figure for figure in FIGURES if figure not in text] == []
    assert [
        known
        for known in ("9f3c2a71be04", "teachers/9f3c", "2.13.0", "  lr: 0.00123", "imitkd_full")
        if known not in text
    ] == []


def test_the_page_needs_no_other_file(usual: Page) -> None:
    assert not [
        tag for tag, _ in usual.tags if tag in ("script", "link", "iframe", "object", "img")
    ]
    links = [link for name in ("src", "href", "xlink:href") for link in usual.attributes(name)]
    assert links  # the markers of the curves
    assert all(link.startswith("#") for link in links)
    assert "http" not in usual.source.replace("http-equiv", "")
    assert "url(" not in re.sub(r"url\(#\w+\)", "", usual.source)


def test_every_reference_inside_the_page_has_one_target(usual: Page) -> None:
    ids = usual.attributes("id")
    assert len(ids) == len(set(ids))
    wanted = {link[1:] for link in usual.attributes("href")} | set(
        re.findall(r"url\(#(\w+)\)", usual.source)
    )
    assert wanted | set(usual.attributes("aria-labelledby")) <= set(ids)


def test_the_page_can_be_read_without_seeing_it(usual: Page) -> None:
    described = [attributes for tag, attributes in usual.tags if tag == "svg"]
    assert len(described) == 6
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in described)
    assert all(
        attributes["scope"] in ("col", "row") for tag, attributes in usual.tags if tag == "th"
    )
    levels = [int(tag[1]) for tag, _ in usual.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert dict(usual.tags)["html"]["lang"] == "en"


def test_hostile_text_stays_text(tmp_path: Path, usual: Page) -> None:
    texts = {key: f"{key} {HOSTILE}" for key in ("source", "reference", "teacher", "student")}
    hostile = results(
        env=HOSTILE,
        algorithm=HOSTILE,
        versions={HOSTILE: HOSTILE},
        profile={HOSTILE: 1.0},
        student={"architecture": HOSTILE},
    )
    logged = [{"step": 1, "phase": "student", "valid_<b>'\"$x_$&": 1.0}]
    found = page(
        tmp_path, hostile, metrics=logged, samples=[sample(1, **texts)], config_yaml=HOSTILE
    )
    assert {tag for tag, _ in found.tags} <= {tag for tag, _ in usual.tags}
    for text in (*texts.values(), HOSTILE, "Validation <b>'\"$x $&"):
        assert text in found.text


def test_text_that_utf8_cannot_hold_does_not_stop_the_report(tmp_path: Path) -> None:
    assert "\\udcff" in page(tmp_path, metrics=[], config_yaml="out: a\udcffb").text


def test_words_where_teacher_and_student_differ_are_marked(tmp_path: Path) -> None:
    texts = {"teacher": "that is <b>fine .", "student": "this is <b>fine , too ."}
    found = page(tmp_path, samples=[sample(**texts)])
    for marked in (
        "<mark>that</mark> is &lt;b&gt;fine .",
        "<mark>this</mark> is &lt;b&gt;fine <mark>, too</mark> .",
    ):
        assert f">{marked}</dd>" in found.source
    assert differences("the same", "the same") == ([(False, "the same")], [(False, "the same")])
    assert differences("", "new") == ([], [(True, "new")])


def test_the_profile_shows_shares_of_the_time(usual: Page) -> None:
    assert usual.text.index("Gradient step") < usual.text.index("Roll-in")
    assert "75 %" in usual.text
    assert "25 %" in usual.text


# ---- the folder


def test_write_takes_the_teachers_curves_from_its_own_folder(tmp_path: Path) -> None:
    folder, teacher = tmp_path / "run", tmp_path / "teacher"
    for place, phase in ((folder, "student"), (teacher, "student")):
        place.mkdir()
        logged = [row for row in rows() if row["phase"] == phase]
        (place / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in logged))
    found = results(teacher={"architecture": "transformer", "parameters": 5, "path": str(teacher)})
    report.write(folder, found, [sample()], "seed: 17\n")
    assert {path.name for path in folder.iterdir()} == {
        "metrics.jsonl",
        "curves.png",
        "samples.txt",
        "report.html",
    }
    labels = " ".join(Page(folder / "report.html").attributes("aria-label"))
    assert "Validation BLEU: teacher from" in labels
    report.write(folder, results(**EXACT), [sample()], "seed: 17\n")
    assert "Validation BLEU: student from" in " ".join(
        Page(folder / "report.html").attributes("aria-label")
    )
