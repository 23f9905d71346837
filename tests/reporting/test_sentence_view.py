"""One sentence step by step, in the terminal and as a page in a browser."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from rich.console import Console

from agents.evaluation.sentence import Sentence
from agents.reporting.sentence import format_probability, html_page, terminal_view
from support.browser import WatchedPage, check_readable, open_browser
from support.sentences import steps_of, untrained_student
from textgen_env.tasks.task import Task

HOSTILE = "</script><script>document.title='broken'</script> & \"q\" $title ${run} شكرا"


@pytest.fixture(scope="module")
def sentence(task: Task) -> Sentence:
    return steps_of(untrained_student(task), task)


@pytest.fixture(scope="module")
def hostile(sentence: Sentence) -> Sentence:
    """The same sentence with markup in its texts and a token; steps 1, 3 and 4 agree."""
    steps = [
        step._replace(token=step.teacher.best[0].token) if t in (0, 2, 3) else step
        for t, step in enumerate(sentence.steps)
    ]
    steps[1] = steps[1]._replace(token=HOSTILE, piece=HOSTILE)
    texts = (HOSTILE, HOSTILE, sentence.teacher, HOSTILE)
    return Sentence(sentence.split, sentence.index, *texts, steps)


def divergences(sentence: Sentence) -> list[int]:
    return [number for number, step in enumerate(sentence.steps, start=1) if step.diverges]


def terminal_text(sentence: Sentence, **options) -> str:
    console = Console(file=io.StringIO(), width=100, **options)
    with console.capture() as captured:
        console.print(terminal_view(sentence, "runs/[bold]one"))
    return captured.get()


def test_the_terminal_view_is_complete_without_color(sentence: Sentence):
    text, numbers = terminal_text(sentence, color_system=None), divergences(sentence)
    assert "runs/[bold]one, test 3" in text
    total = len(sentence.steps)
    assert f"diverge at {len(numbers)} of {total} tokens, first at token {numbers[0]}." in text
    for step in sentence.steps:
        if step.diverges:
            assert f"‹{step.piece.strip()}≠{step.teacher.best[0].token}›" in text
        for choice in step.teacher.best:
            assert f"{choice.token} {format_probability(choice.probability)}" in text
    assert "\x1b[" not in text


def test_the_terminal_view_uses_color_if_there_is_any(sentence: Sentence):
    assert "\x1b[" in terminal_text(sentence, force_terminal=True, color_system="truecolor")


def test_the_page_is_self_contained(hostile: Sentence):
    html = html_page(hostile, HOSTILE)
    assert not re.search(r"""(src|href)=["'](?!#)|url\(|@import|https?:""", html)
    assert html.count("<script>") == 1
    assert html.count('class="step') == len(hostile.steps)


@pytest.fixture(scope="module")
def browser() -> Iterator[WatchedPage]:
    with open_browser() as page:
        yield page


@pytest.fixture(scope="module")
def url(hostile: Sentence, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(html_page(hostile, "run"), encoding="utf-8")
    return path.as_uri()


def expect_step(page: Page, number: int) -> None:
    """Only step ``number`` is visible, and only its token is marked as current."""
    expect(page.locator(".step:visible")).to_have_count(1)
    expect(page.locator(f"#step-{number}")).to_be_visible()
    expect(page.locator('.tokens a[aria-current="step"]')).to_have_count(1)
    expect(page.locator(f'.tokens a[href="#step-{number}"]')).to_have_attribute(
        "aria-current", "step"
    )


@pytest.mark.browser
def test_arrow_keys_step_through_the_page(browser: WatchedPage, url: str, hostile: Sentence):
    page, numbers, last = browser.open(url), divergences(hostile), len(hostile.steps)
    assert numbers[:2] == [2, 5]
    expect_step(page, 2)
    page.keyboard.press("ArrowLeft")
    expect_step(page, 1)
    for number in [*range(2, last + 1), last]:  # the last step has no successor
        page.keyboard.press("ArrowRight")
        expect_step(page, number)
    for number in [number for number in reversed(numbers) if number < last]:
        page.keyboard.press("Shift+ArrowLeft")
        expect_step(page, number)


@pytest.mark.browser
def test_the_fragment_selects_a_step_without_scrolling(browser: WatchedPage, url: str):
    page = browser.open(f"{url}#2")
    expect_step(page, 2)
    assert page.evaluate("scrollY") == 0


@pytest.mark.browser
def test_buttons_work_by_keyboard(browser: WatchedPage, url: str, hostile: Sentence):
    page = browser.open(f"{url}#1")
    for _ in range(len(hostile.steps) + 2):  # past the tokens and "Previous" to "Next"
        page.keyboard.press("Tab")
    next_button = page.get_by_role("button", name="Next →")
    expect(next_button).to_be_focused()
    page.keyboard.press("Enter")
    expect_step(page, 2)
    page.locator(".tokens a").last.click()
    expect_step(page, len(hostile.steps))
    expect(next_button).to_be_disabled()


@pytest.mark.browser
def test_the_page_logs_and_requests_nothing(browser: WatchedPage, url: str):
    page = browser.open(url)
    expect(page).to_have_title("Sentence 3 of test")
    expect(page.locator(".source dd")).to_contain_text(HOSTILE)
    assert browser.errors == []
    assert browser.requests == [url]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
def test_the_page_is_readable(browser: WatchedPage, url: str, scheme, width: int):
    page = browser.open(url)
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    check_readable(page)
    truncated = page.locator(".choices th").evaluate_all(
        "names => names.filter(n => n.scrollWidth > n.clientWidth).map(n => n.textContent)"
    )
    assert set(truncated) <= {HOSTILE}
