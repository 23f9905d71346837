"""Chat templates: text, tokens and learned positions are those of transformers and TRL.

TRL (1.x) learns the tokens that ``apply_chat_template`` marks between ``{% generation %}`` and
``{% endgeneration %}``; for ``prompt`` and ``completion``, those after the tokens of the prompt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.chat_templates import FAMILIES, fast_tokenizer
from support.chats import CONTEXT, chats, conversation, exchange, write_rows
from support.corpora import error_message
from textgen_env.data import chat_template
from textgen_env.data.chat import Conversation
from textgen_env.data.chat_template import MAX_TEMPLATE, ChatError, ChatTemplate, end_of_turn
from textgen_env.data.chat_tokens import ChatEncoder
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.pretrained_tokenizer import convert_tokenizer, special_names, special_tokens
from textgen_env.data.split import Split
from textgen_env.errors import UserError
from textgen_env.tasks import chat
from textgen_env.types import EOS

CHATS = [
    conversation(3),
    conversation(1, turns=3),
    exchange("  the <s>cat</s> <|im_end|> </s>\n\n", "\n a dog \n\n"),
    exchange("ÄÖ 的 {{ x }} {% if %}", "und ein hund"),
]
SYSTEM = [CONTEXT + conversation(2, turns=2)]


class Case:
    """A family with its tokenizer in both forms."""

    def __init__(self, family: str) -> None:
        self.family = FAMILIES[family]
        self.tokenizer = fast_tokenizer(family)
        spec = self.tokenizer.backend_tokenizer.to_str()
        variables = tuple(self.family.names.items())
        self.end = end_of_turn(ChatTemplate(self.family.template, variables), special_tokens(spec))
        self.vocabulary, self.ids = convert_tokenizer(spec, self.end)
        names = special_names(spec, self.end)
        self.template = ChatTemplate(self.family.template, variables, names)
        self.chats = CHATS if family == "gemma" else CHATS + SYSTEM

    def transformers(self, messages: list[dict[str, str]], **options: Any) -> Any:
        # transformers 5 returns a dictionary if not told otherwise
        return self.tokenizer.apply_chat_template(messages, **{"return_dict": False, **options})

    def encode(self, chats: list[list[dict[str, str]]], limit: int = 1000) -> Split:
        rows = Pairs(
            [Conversation(messages[:-1]).to_text() for messages in chats],
            [(messages[-1]["content"],) for messages in chats],
        )
        encoder = ChatEncoder(self.template, self.vocabulary, limit)
        return encoder.split(Corpus("c", "local", "here", {"train": rows}), "train")

    def original(self, ids: np.ndarray) -> list[int]:
        """The tokenizer's own ids."""
        return [self.ids[token] for token in ids]  # type: ignore[misc]


@pytest.fixture(params=FAMILIES, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_the_end_of_a_turn_is_found(case: Case) -> None:
    assert case.end == case.family.end


@pytest.mark.parametrize("prompt", [False, True])
def test_rendered_text_equals_that_of_transformers(case: Case, prompt: bool) -> None:
    texts = [*case.template.render([(messages, prompt) for messages in case.chats])]
    expected = [
        case.transformers(messages, tokenize=False, add_generation_prompt=prompt)
        for messages in case.chats
    ]
    assert texts == expected


def test_prompt_and_turn_have_the_tokens_of_transformers(case: Case) -> None:
    split = case.encode(case.chats)
    for messages, source, target in zip(case.chats, split.source, split.target, strict=True):
        prompt = case.transformers(messages[:-1], add_generation_prompt=True)
        assert source[-1] == EOS
        assert case.original(source[:-1]) == prompt
        whole = case.transformers(messages)
        if whole[: len(prompt)] == prompt:
            learned = whole[len(prompt) :]
            assert case.original(target) == learned[: len(target)]
            after_eos = case.tokenizer.decode(learned[len(target) :])
            assert not after_eos.strip(), "only white space follows"
        assert target[-1] == EOS
        assert EOS not in target[:-1]
        assert case.vocabulary.decode(target).strip() == messages[-1]["content"].strip()


def test_the_loss_is_on_the_tokens_that_trl_learns(case: Case) -> None:
    """For every turn: those that the template marks, of which EOS is the last."""
    for messages in (conversation(1, turns=2), conversation(2)):
        output = case.transformers(messages, return_dict=True, return_assistant_tokens_mask=True)
        ids, mask = output["input_ids"], output["assistant_masks"]
        ours = [0] * len(ids)
        for end in range(2, len(messages) + 1, 2):
            split = case.encode([messages[:end]])
            source, target = split.source[0][:-1], split.target[0]  # without our EOS
            start = len(source)
            assert ids[:start] == case.original(source)
            assert ids[start : start + len(target)] == case.original(target)
            ours[start : start + len(target)] = [1] * len(target)
        assert ours == mask


def test_a_turn_that_merges_with_its_prompt_is_encoded_apart(case: Case) -> None:
    """As at the time of generation, where the prompt has been encoded before."""
    split = case.encode([exchange("the cat", "\n\n\nthe dog")])
    prompt = case.transformers([{"role": "user", "content": "the cat"}], add_generation_prompt=True)
    assert case.original(split.source[0][:-1]) == prompt
    assert case.vocabulary.decode(split.target[0]).strip() == "the dog"


def test_long_prompts_lose_their_oldest_turns_and_keep_the_system_message() -> None:
    case = Case("chatml")
    messages = CONTEXT + conversation(5, turns=6)
    kept = [messages, CONTEXT + messages[-8:], CONTEXT + messages[-2:]]
    whole, long, short = (source.tolist() for source in case.encode(kept).source)
    for limit, expected in ((len(whole) - 1, None), (len(long), long), (len(short), short)):
        split = case.encode([messages, messages, messages[:3]], limit)
        assert split.shortened == 2
        if expected is not None:
            assert [row.tolist() for row in split.source[:2]] == [expected] * 2
    too_long = case.encode([messages], limit=6)
    assert too_long.shortened == 0
    assert too_long.source[0].tolist() == short[-7:]


def test_a_conversation_that_the_template_refuses_has_a_place(tmp_path: Path) -> None:
    rows = chats(20)
    rows[12] = {"messages": CONTEXT + conversation(3, turns=2)}
    path = write_rows(tmp_path / "chat.jsonl", rows)
    gemma = tmp_path / "gemma.jinja"
    gemma.write_text(FAMILIES["gemma"].template)
    for turns in ("last", "every"):
        options = {"data": str(path), "template": str(gemma), "turns": turns, "vocabulary": 200}
        message = error_message(chat.load, **options)
        assert message == (f"{path}:13: the chat template refuses it: System role not supported")


HOSTILE = {
    "imports": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "changes its arguments": "{{ messages.append(1) }}",
    "does not compile": "{% for %}",
    "never ends": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "needs memory": "{% set n = namespace(x='a' * 99999) %}"
    "{% for i in range(40) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "makes a long text": "{{ 'a' * 500000 }}",
    "prints a secret": "{{ cycler.__init__.__globals__.os.environ }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_refused_in_one_line(name, tmp_path, monkeypatch):
    monkeypatch.setattr(chat_template, "SECONDS", 1.0)
    (tmp_path / "bad.jinja").write_text(HOSTILE[name])
    message = error_message(chat_template.read_template, str(tmp_path / "bad.jinja"))
    assert message.startswith(f"env.template={tmp_path / 'bad.jinja'}: the chat template refuses")


def test_a_template_is_bounded(tmp_path):
    (tmp_path / "long.jinja").write_text("a" * (MAX_TEMPLATE + 1))
    message = error_message(chat_template.read_template, str(tmp_path / "long.jinja"))
    assert "a chat template of 65,537 characters, at most 65,536" in message
    assert "cannot be read" in error_message(chat_template.read_template, str(tmp_path / "none"))


def test_a_prompt_that_does_not_begin_its_conversation_is_refused():
    text = "{% for m in messages %}{{ m.content }}{% endfor %}{{ '>' if add_generation_prompt }}"
    case = Case("chatml")
    encoder = ChatEncoder(ChatTemplate(text), case.vocabulary, 100)
    rows = Pairs([Conversation(conversation(1)[:1]).to_text()], [("the dog",)])
    message = error_message(encoder.split, Corpus("c", "local", "here", {"train": rows}), "train")
    assert message.startswith("here, train row 1: ")
    assert "not the beginning of the conversation" in message


def test_a_template_survives_json():
    template = Case("llama").template
    assert ChatTemplate.from_json(template.to_json()) == template
    for broken in ({}, {"text": 3, "variables": [], "names": [None] * 4}, []):
        with pytest.raises((TypeError, KeyError, ValueError)):
            ChatTemplate.from_json(broken)


def test_errors_are_the_users():
    assert issubclass(ChatError, UserError)
