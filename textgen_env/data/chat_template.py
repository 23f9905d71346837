"""Chat templates: conversations → text → token ids, as transformers' ``apply_chat_template``.

One assistant turn is one episode. Its source is the rendered conversation before the turn with the
generation prompt, its target is the rendered turn up to the token that ends it, EOS. Hence the loss
is on the tokens that a template marks as the assistant's, up to EOS.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from textgen_env.data.chat import Messages
from textgen_env.data.files import digest, read_text
from textgen_env.data.schema import check
from textgen_env.data.vocabulary import SPECIALS, Vocabulary
from textgen_env.errors import UserError
from textgen_env.types import EOS, UNK

RENDERER = Path(__file__).with_name("chat_renderer.py")
MAX_TEMPLATE = 2**16  # characters
SECONDS = 60.0  # for the conversations of a chunk
CHUNK = 2_000  # conversations
PLAIN = (  # of a vocabulary that is trained on the corpus
    "{% for message in messages %}{{ '' if loop.first else ' ' }}{{ message.role }}: "
    "{{ message.content }}{% endfor %}{% if add_generation_prompt %} assistant:{% endif %}"
)
PROBE: Messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "ANSWER"}]

Job = tuple[Messages, bool]  # a conversation, and whether to add the generation prompt


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja template, its variables, and the special tokens of its text.

    Args:
        text: The template.
        variables: Pairs of name and value that it may use, such as ``bos_token``.
        names: What the vocabulary's PAD, BOS, EOS and UNK are called in the rendered text; None if
            they are not in it.

    Raises:
        UserError: The template is too long.
    """

    text: str = PLAIN
    variables: tuple[tuple[str, str], ...] = ()
    names: tuple[str | None, ...] = (None, None, None, None)

    def __post_init__(self) -> None:
        if len(self.text) > MAX_TEMPLATE:
            raise UserError(
                f"a chat template of {len(self.text):,} characters, at most {MAX_TEMPLATE:,}"
            )

    @property
    def fingerprint(self) -> str:
        """Hash of all that changes the tokens of a conversation."""
        return digest(json.dumps(self.to_json()))

    def describe(self) -> str:
        """One line for users."""
        name = "plain: role: text" if self.text == PLAIN else self.fingerprint
        end = f", a turn ends with {self.names[EOS]}" if self.names[EOS] else ""
        return f"chat template {name}{end}"

    def to_json(self) -> dict[str, Any]:
        """As a JSON-serializable dictionary."""
        variables = [list(pair) for pair in self.variables]
        return {"text": self.text, "variables": variables, "names": list(self.names)}

    @classmethod
    def from_json(cls, values: Any) -> ChatTemplate:
        """Inverse of ``to_json``; ValueError for malformed values."""
        check(values, {"text": str, "variables": [[str]], "names": [str | None]}, "template")
        if len(values["names"]) != len(SPECIALS):
            raise ValueError("the chat template has another number of special tokens")
        variables = tuple((name, value) for name, value in values["variables"])
        return cls(values["text"], variables, tuple(values["names"]))

    def render(self, jobs: Sequence[Job]) -> Iterator[str]:
        """The text of each conversation.

        Raises:
            ChatError: The template refuses a conversation, fails, or takes too long.
        """
        for start in range(0, len(jobs), CHUNK):
            chunk = jobs[start : start + CHUNK]
            for number, text in enumerate(self._run(chunk), start):
                if isinstance(text, dict):
                    raise ChatError(text["error"], number)
                yield text

    def _run(self, jobs: Sequence[Job]) -> list[Any]:
        """Run ``chat_renderer`` once."""
        content = {"template": self.text, "variables": dict(self.variables), "jobs": jobs}
        command = [sys.executable, "-P", str(RENDERER)]
        data = json.dumps(content).encode()
        try:
            done = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise ChatError(f"it takes more than {SECONDS:.0f} seconds") from None
        if done.returncode:
            reason = (done.stderr.decode(errors="replace").splitlines() or ["killed"])[-1]
            raise ChatError(f"its process failed: {reason[:200]}")
        return json.loads(done.stdout)  # type: ignore[no-any-return]


class ChatError(UserError):
    """A template cannot render a conversation; ``number`` is its place in the list."""

    def __init__(self, reason: str, number: int = 0) -> None:
        super().__init__(f"the chat template refuses it: {reason}")
        self.reason, self.number = reason, number


def read_template(path: str) -> ChatTemplate:
    """The template in a file that the user names.

    Raises:
        UserError: It cannot be read, is too long, or cannot render a conversation.
    """
    template = ChatTemplate(read_text(Path(path).expanduser()))
    try:
        [*template.render([(PROBE, False), (PROBE[:1], True)])]
    except ChatError as error:
        raise UserError(f"env.template={path}: {error}") from None
    return template


def end_of_turn(template: ChatTemplate, specials: Collection[str]) -> str | None:
    """The first of the special tokens after the text of an assistant turn; None without one."""
    (text,) = template.render([(PROBE, False)])
    rest = text.partition(PROBE[1]["content"])[2]
    found = [(rest.index(token), -len(token), token) for token in specials if token in rest]
    return min(found)[2] if found else None


@lru_cache(maxsize=4)
def chat_tokenizer(vocabulary: Vocabulary, names: tuple[str | None, ...]) -> Tokenizer:
    """The vocabulary's tokenizer with the special tokens' own names.

    A name that is None becomes one that no text has, so that ``</s>`` in a message is text.
    """
    spec = json.loads(vocabulary.to_json())
    new = {old: name or f"\U0010ffff{old}" for old, name in zip(SPECIALS, names, strict=True)}
    model = spec["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {new.get(token, token): index for token, index in model["vocab"].items()}
    else:
        model["vocab"] = [[new.get(token, token), score] for token, score in model["vocab"]]
    if model.get("unk_token") == SPECIALS[UNK]:
        model["unk_token"] = new[SPECIALS[UNK]]
    for entry in spec["added_tokens"]:
        entry["content"] = new.get(entry["content"], entry["content"])
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def cut_after_eos(ids: list[int]) -> list[int]:
    """The tokens of a turn up to its EOS, which is appended if the template writes none."""
    return [*ids[: ids.index(EOS)], EOS] if EOS in ids else [*ids, EOS]
