"""One sentence step by step: the figures in it, the terminal's view, and the page in a real browser."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from rich.console import Console

from agents.evaluation.sentence import Sentence, look
from agents.generation.decoding import greedy
from agents.policies.transformer import Transformer
from agents.reporting import sentence as view
from support.browser import Page, browser
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task
from textgen_env.types import Batch

HOSTILE = "</script><script>document.title='broken'</script> & \"q\" $title ${run} شكرا"


@pytest.fixture(scope="module")
def student(task: Task) -> Transformer:
    """One that has learnt nothing, so that it diverges from its teacher early and often."""
    torch.manual_seed(2)
    return Transformer(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16).eval()


@pytest.fixture(scope="module")
def seen(task: Task, student: Transformer) -> Sentence:
    """What that student makes of a sentence."""
    return look(student, partial(greedy, student), task.oracle(), task, "test", 3)


def test_every_figure_is_the_policies_own(task: Task, student: Transformer, seen: Sentence):
    source = torch.from_numpy(task.splits["test"].source[3])[None]
    written = greedy(student, source, task.horizon)
    batch = Batch(torch.tensor([3]), source, written.action, written.length, limit=written.length)
    with torch.no_grad():
        ours = student(source, batch.prefix)[0].softmax(-1)  # [T, V]
    theirs = task.oracle().log_probs(source, batch.prefix)[0].exp()  # [T, V]
    names = task.vocabulary.tokens
    assert len(seen.steps) == int(written.length)
    for t, (token, step) in enumerate(zip(written.action[0].tolist(), seen.steps, strict=True)):
        assert step.token == names[token]
        assert step.teacher.probability == pytest.approx(theirs[t, token].item())
        assert step.student.probability == pytest.approx(ours[t, token].item(), abs=1e-6)
        assert step.diverges == (theirs[t].argmax() != token)
        for side, known in ((step.teacher, theirs[t]), (step.student, ours[t])):
            top = known.topk(5)
            assert side.rank == 1 + int((known > known[token]).sum())
            assert [choice.probability for choice in side.best] == pytest.approx(
                top.values.tolist(), abs=1e-6
            )
        assert [choice.token for choice in step.student.best] == [
            names[token] for token in ours[t].topk(5).indices.tolist()
        ]
    assert "".join(step.piece for step in seen.steps).removesuffix(" </s>") == seen.student
    assert seen.teacher == seen.source == seen.reference  # the exact expert copies
    assert any(step.diverges for step in seen.steps)


def test_a_sentence_that_is_not_there(task: Task, student: Transformer):
    seek = partial(look, student, partial(greedy, student), task.oracle(), task)
    with pytest.raises(UserError, match="sentence=20: test has sentences 0 to 19"):
        seek("test", 20)
    with pytest.raises(UserError, match="unknown split 'tests'; did you mean 'test'"):
        seek("tests", 0)


def drawn(seen: Sentence, **options) -> str:
    console = Console(file=io.StringIO(), width=100, **options)
    with console.capture() as captured:
        console.print(view.drawing(seen, "runs/[bold]one"))
    return captured.get()


def test_the_terminal_says_all_with_and_without_colours(seen: Sentence):
    text = drawn(seen, color_system=None)
    assert "runs/[bold]one, test 3" in text
    apart = [number for number, step in enumerate(seen.steps, start=1) if step.diverges]
    assert (
        f"They diverge at {len(apart)} of {len(seen.steps)} tokens, first at token {apart[0]}."
        in text
    )
    for step in seen.steps:
        if step.diverges:
            assert f"‹{step.piece.strip()}≠{step.teacher.best[0].token}›" in text
        for choice in step.teacher.best:
            assert f"{choice.token} {view.probability(choice.probability)}" in text
    assert "\x1b[" in drawn(seen, force_terminal=True, color_system="truecolor")


def hostile(seen: Sentence) -> Sentence:
    """The same, but it agrees at its first, third and fourth step, and the texts and a token would like to be markup."""
    steps = [
        step._replace(token=step.teacher.best[0].token) if t in (0, 2, 3) else step
        for t, step in enumerate(seen.steps)
    ]
    steps[1] = steps[1]._replace(token=HOSTILE, piece=HOSTILE)
    return Sentence(seen.split, seen.index, HOSTILE, HOSTILE, seen.teacher, HOSTILE, steps)


def test_the_page_needs_no_other_file(seen: Sentence):
    text = view.page(hostile(seen), HOSTILE)
    assert not re.search(r"""(src|href)=["'](?!#)|url\(|@import|https?:""", text)
    assert text.count("<script>") == 1
    assert text.count('class="step') == len(seen.steps)


@pytest.fixture(scope="module")
def opened(seen: Sentence, tmp_path_factory) -> Iterator[tuple[Page, str]]:
    """A browser, and the page's address."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "page.html").write_text(view.page(hostile(seen), "run"), encoding="utf-8")
    with browser(folder / "profile") as page:
        yield page, (folder / "page.html").as_uri()


def shown(page: Page) -> int:
    """The number of the only step that is to be seen."""
    visible = page.get(
        "[...document.querySelectorAll('.step')].flatMap((s, i) => s.checkVisibility() ? [i + 1] : [])"
    )
    assert len(visible) == 1
    assert (
        page.get(
            "[...document.querySelectorAll('.tokens a')].findIndex((a) => a.ariaCurrent === 'step') + 1"
        )
        == visible[0]
    )
    return visible[0]


def test_arrow_keys_step_through_the_page(opened: tuple[Page, str], seen: Sentence):
    page, url = opened
    page.open(url)
    apart = [number for number, step in enumerate(hostile(seen).steps, start=1) if step.diverges]
    assert shown(page) == apart[0] == 2
    assert apart[1] == 5
    page.press("ArrowLeft")
    assert shown(page) == 1
    for number in range(2, len(seen.steps) + 1):
        page.press("ArrowRight")
        assert shown(page) == number
    page.press("ArrowRight")
    assert shown(page) == len(seen.steps)  # the end is the end
    for number in [number for number in reversed(apart) if number < len(seen.steps)]:
        page.press("ArrowLeft", shift=True)
        assert shown(page) == number
    page.open(url + "#2")
    assert shown(page) == 2
    assert page.get("scrollY") == 0


def test_buttons_work_by_keyboard_and_tokens_are_links(opened: tuple[Page, str], seen: Sentence):
    page, url = opened
    page.open(url + "#1")
    for _ in range(len(seen.steps) + 2):  # past the tokens and "Previous" to "Next"
        page.press("Tab")
    assert page.get("document.activeElement.textContent") == "Next →"
    page.press("Enter")
    assert shown(page) == 2
    page.get("document.querySelector('.tokens a:last-child').click()")
    assert shown(page) == len(seen.steps)
    assert page.get("document.querySelector('[data-by=\"1\"]').ariaDisabled") == "true"


def test_the_page_is_quiet_and_asks_for_nothing(opened: tuple[Page, str]):
    page, url = opened
    page.open(url)
    assert page.said("Runtime.exceptionThrown", "Log.entryAdded") == []
    assert {
        request["request"]["url"].partition("#")[0]
        for request in page.said("Network.requestWillBeSent")
    } == {url}
    assert page.get("document.title") == "Sentence 3 of test"
    assert HOSTILE in page.get("document.querySelector('.source dd').textContent")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
def test_everything_is_readable(opened: tuple[Page, str], scheme: str, width: int):
    page, url = opened
    page.look(scheme, width)
    page.open(url)
    assert page.get("document.documentElement.scrollWidth") <= width
    names = page.get(
        "[...document.querySelectorAll('.choices th')].map((th) => [th.textContent, th.clientWidth, th.scrollWidth])"
    )
    assert {name for name, wide, needed in names if needed > wide} <= {HOSTILE}, (
        "names of tokens are cut off"
    )
    ratios = page.get(CONTRAST)
    assert len(ratios) > 20
    assert min(ratios) >= 4.5, ratios


CONTRAST = """
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const light = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
      .map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" ? behind(element.parentElement) : colour;
  };
  return [...document.querySelectorAll("main *, header *")]
    .filter((e) => e.checkVisibility() && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .filter((e) => e.ariaDisabled !== "true")
    .map((e) => [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => b - a))
    .map(([high, low]) => (high + 0.05) / (low + 0.05));
})()
"""
