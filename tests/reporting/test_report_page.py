"""``report.html`` contains every value, is self-contained and escapes its texts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.reporting.page import differences
from support.browser import WatchedPage, check_readable, open_browser
from support.reports import (
    EXACT,
    FORMATTED,
    HOSTILE,
    ParsedPage,
    metrics,
    page,
    results,
    sample,
    terminal_table,
)


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> ParsedPage:
    """The page of a run with every optional value."""
    rows = [
        row | {"valid_rougeL": row["valid_bleu"] + 1} if "valid_bleu" in row else row
        for row in metrics(120)
    ]
    run = results(profile={"roll-in": 30.0, "gradient step": 90.0})
    folder = tmp_path_factory.mktemp("complete")
    return page(folder, run, metrics=rows, config_yaml="train:\n  lr: 0.00123\n")


def test_the_page_contains_every_value_and_setting(complete: ParsedPage) -> None:
    text = complete.text.replace("\N{NO-BREAK SPACE}", " ")
    settings = ("9f3c2a71be04", "teachers/9f3c", "2.13.0", "  lr: 0.00123", "imitkd_full")
    assert [value for value in (*FORMATTED, *settings) if value not in text] == []


def test_the_page_is_self_contained(complete: ParsedPage) -> None:
    external = ("script", "link", "iframe", "object", "img")
    assert not [tag for tag, _ in complete.tags if tag in external]
    links = [link for name in ("src", "href", "xlink:href") for link in complete.attributes(name)]
    assert links  # the markers in the curves
    assert all(link.startswith("#") for link in links)
    assert "http" not in complete.source.replace("http-equiv", "")
    assert "url(" not in re.sub(r"url\(#\w+\)", "", complete.source)


def test_every_internal_reference_has_exactly_one_target(complete: ParsedPage) -> None:
    ids = complete.attributes("id")
    assert len(ids) == len(set(ids))
    references = {link[1:] for link in complete.attributes("href")}
    references |= set(re.findall(r"url\(#(\w+)\)", complete.source))
    assert references | set(complete.attributes("aria-labelledby")) <= set(ids)


def test_the_page_is_accessible_to_screen_readers(complete: ParsedPage) -> None:
    figures = [attributes for tag, attributes in complete.tags if tag == "svg"]
    assert len(figures) == 6
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in figures)
    headers = [attributes for tag, attributes in complete.tags if tag == "th"]
    assert all(attributes["scope"] in ("col", "row") for attributes in headers)
    levels = [int(tag[1]) for tag, _ in complete.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert dict(complete.tags)["html"]["lang"] == "en"


def test_hostile_text_is_escaped(tmp_path: Path, complete: ParsedPage) -> None:
    texts = {key: f"{key} {HOSTILE}" for key in ("source", "reference", "teacher", "student")}
    run = results(env=HOSTILE, algorithm=HOSTILE, versions={HOSTILE: HOSTILE})
    run |= {"profile": {HOSTILE: 1.0}, "student": {"architecture": HOSTILE}}
    rows = [{"step": 1, "phase": "student", "valid_<b>'\"$x_$&": 1.0}]
    samples = [sample(1, **texts)]
    hostile = page(tmp_path, run, metrics=rows, samples=samples, config_yaml=HOSTILE)
    assert {tag for tag, _ in hostile.tags} <= {tag for tag, _ in complete.tags}
    for text in (*texts.values(), HOSTILE, "Validation <b>'\"$x $&"):
        assert text in hostile.text


def test_lone_surrogates_do_not_stop_the_report(tmp_path: Path) -> None:
    assert "\\udcff" in page(tmp_path, metrics=[], config_yaml="out: a\udcffb").text


@pytest.mark.parametrize(
    "changes", [EXACT, {"scores": {}, "speed": {}, "cost": {}, "corpus": {}, "versions": {}}]
)
def test_missing_values_leave_the_rest_readable(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = results(**changes)
    html = page(tmp_path, run, metrics=metrics()[:1], samples=[])
    for text in (html.text, terminal_table(run)):
        assert "2,613,248" in text
        assert "None" not in text
        assert not re.search(r"\bnan\b", text)


def test_differing_words_are_marked(tmp_path: Path) -> None:
    texts = {"teacher": "that is <b>fine .", "student": "this is <b>fine , too ."}
    source = page(tmp_path, samples=[sample(**texts)]).source
    for marked in (
        "<mark>that</mark> is &lt;b&gt;fine .",
        "<mark>this</mark> is &lt;b&gt;fine <mark>, too</mark> .",
    ):
        assert f">{marked}</dd>" in source
    assert differences("the same", "the same") == ([(False, "the same")], [(False, "the same")])
    assert differences("", "new") == ([], [(True, "new")])


def test_the_profile_lists_shares_of_time_in_descending_order(complete: ParsedPage) -> None:
    assert complete.text.index("Gradient step") < complete.text.index("Roll-in")
    assert "75 %" in complete.text
    assert "25 %" in complete.text


@pytest.fixture(scope="module")
def browser() -> Iterator[WatchedPage]:
    with open_browser() as watched:
        yield watched


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
def test_the_page_is_readable_in_a_browser(
    browser: WatchedPage, tmp_path: Path, scheme, width: int
) -> None:
    run = results(profile={"roll-in": 30.0}, student={"architecture": HOSTILE})
    page(tmp_path, run, metrics=metrics(120), samples=[sample(1, student=HOSTILE)])
    url = (tmp_path / "report.html").as_uri()
    opened = browser.open(url)
    opened.set_viewport_size({"width": width, "height": 900})
    opened.emulate_media(color_scheme=scheme)
    check_readable(opened)
    assert browser.errors == []
    assert browser.requests == [url]
