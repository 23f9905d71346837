"""Conversations: the messages of a row, and the text that stands for them in a corpus.

A source is a JSON list of messages, ``[{"role": "user", "content": "Hi"}]``, or, if the teacher
sees another prompt, a JSON object with the lists ``messages`` and ``teacher_prompt``. It is the
same text for any tokenizer; ``chat_template`` renders it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from textgen_env.data.columns import SPLIT, Columns, check_unique
from textgen_env.data.corpus import Pairs
from textgen_env.data.files import MAX_TEXT, is_blank
from textgen_env.data.folders import did_you_mean
from textgen_env.data.schema import json_or_none
from textgen_env.data.text import SURROGATE
from textgen_env.errors import UserError

ROLES = ("system", "user", "assistant")
MESSAGES, PROMPT, COMPLETION, TEACHER_PROMPT = "messages", "prompt", "completion", "teacher_prompt"

Messages = list[dict[str, str]]


class Conversation(NamedTuple):
    """What the student sees before its answer, and what the teacher sees instead, if anything."""

    messages: Messages
    teacher_prompt: Messages | None = None

    def to_teacher_text(self) -> str:
        """The source with the teacher's prompt in place of the student's, if it has its own."""
        return Conversation(self.teacher_prompt or self.messages).to_text()

    def to_text(self) -> str:
        """The source of a corpus."""
        value: Any = self.messages
        if self.teacher_prompt is not None:
            value = {MESSAGES: self.messages, TEACHER_PROMPT: self.teacher_prompt}
        return json.dumps(value, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> Conversation:
        """Inverse of ``to_text``; any other text is one message of the user.

        Raises:
            UserError: It is a list of messages that do not end with the user's.
        """
        value = json_or_none(text) if text.startswith(("[{", "{")) else None
        if isinstance(value, dict) and isinstance(value.get(MESSAGES), list):
            hidden = value.get(TEACHER_PROMPT)
            return cls(
                prompt_of(value[MESSAGES], MESSAGES),
                None if hidden is None else prompt_of(hidden, TEACHER_PROMPT),
            )
        if isinstance(value, list) and all(isinstance(x, dict) and "role" in x for x in value):
            return cls(prompt_of(value, MESSAGES))
        return cls(prompt_of(text, PROMPT))


def read_prompt(line: str, where: str) -> str:
    """The source of a line with ``messages`` or a ``prompt`` to answer.

    Raises:
        UserError: It is malformed. The message begins with ``where``.
    """
    row = json_or_none(line)
    if not isinstance(row, dict) or not {MESSAGES, PROMPT} & row.keys():
        raise UserError(f'{where}: expected {{"messages": …}} or {{"prompt": …}}, got {line[:40]}')
    name = MESSAGES if MESSAGES in row else PROMPT
    return Conversation(prompt_of(row[name], f"{where}: {name}")).to_text()


def prompt_of(value: Any, where: str) -> Messages:
    """The messages of a prompt, a list that ends with the user's or the text of one message.

    Raises:
        UserError: It is malformed. The message begins with ``where``.
    """
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    messages = checked_messages(value, where)
    if messages[-1]["role"] != "user":
        role = messages[-1]["role"]
        raise UserError(f"{where}: its last message is the {role}'s; a prompt ends with the user's")
    return messages


def checked_messages(value: Any, where: str) -> Messages:
    """A list of messages, each with a role of ``ROLES`` and visible text.

    Raises:
        UserError: It is malformed. The message begins with ``where``.
    """
    if not isinstance(value, list) or not value:
        kind = "an empty list" if value == [] else type(value).__name__
        raise UserError(f"{where}: expected a list of messages, got {kind}")
    messages = [_message(item, f"{where}, message {i}") for i, item in enumerate(value, 1)]
    size = sum(len(message["content"]) for message in messages)
    if size > MAX_TEXT:
        raise UserError(
            f"{where}: a conversation of {size:,} characters, at most {MAX_TEXT:,}; shorten it"
        )
    return messages


def _message(item: Any, where: str) -> dict[str, str]:
    if not isinstance(item, dict) or not {"role", "content"} <= item.keys():
        raise UserError(f'{where}: expected {{"role": …, "content": …}}, got {str(item)[:40]}')
    role, content = item["role"], item["content"]
    if role not in ROLES:
        raise UserError(f"{where}: unknown role {str(role)[:40]!r} (valid: {', '.join(ROLES)})")
    if not isinstance(content, str):
        raise UserError(f"{where}: content must be a string, got {str(content)[:40]}")
    if is_blank(content):
        raise UserError(f"{where}: content is empty; delete the message, or add the text")
    if SURROGATE.search(content):
        raise UserError(f"{where}: content has an unpaired surrogate (half a character)")
    for key, other in item.items():  # such as tool_calls, which would change the conversation
        if key not in ("role", "content") and other not in (None, [], {}, ""):
            raise UserError(f"{where}: {key[:40]} is not read, only role and content; remove it")
    return {"role": role, "content": content}


@dataclass(frozen=True)
class ChatColumns(Columns):
    """The columns of a conversation: ``messages``, ``prompt`` and ``completion``, or ``prompt``.

    A row's source is all before its last assistant turn, its reference that turn. A list of texts
    as the completion is several references, of which the first is the training target. A row with
    a prompt alone has no reference.

    Args:
        teacher_prompt: The column of the prompt that the teacher sees instead, if there is one.
        places: ``{source: place}`` of the rows that were read, such as FILE:LINE, for messages.
    """

    header_hint: ClassVar[str] = ""
    source: tuple[str, ...] = (MESSAGES, PROMPT)
    target: tuple[str, ...] = (COMPLETION,)
    teacher_prompt: str | None = None
    places: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def needed(self, names: Collection[str], where: str) -> list[str]:
        """See ``Columns.needed``."""
        check_unique(names, where)
        if not {MESSAGES, PROMPT} & {*names}:
            shown = ", ".join(name[:40] for name in list(names)[:12]) or "none"
            raise UserError(
                f"{where}: no column {MESSAGES} or {PROMPT}{did_you_mean(MESSAGES, names)} "
                f"(its columns: {shown}); give each row a list messages, or a prompt with or "
                "without a completion"
            )
        if self.teacher_prompt and self.teacher_prompt not in names:
            hint = did_you_mean(self.teacher_prompt, names)
            raise UserError(
                f"{where}: no column {self.teacher_prompt}, which teacher.prompt_field names{hint}"
            )
        wanted = {MESSAGES, PROMPT, COMPLETION, SPLIT, self.teacher_prompt}
        return [name for name in names if name in wanted]

    def texts(
        self, row: dict[str, Any], where: str, required: bool = True
    ) -> tuple[str, tuple[str, ...]]:
        """The source and the references of a row; none if it is a prompt alone.

        Raises:
            UserError: The row is malformed.
        """
        present = {name: value for name, value in row.items() if value is not None}
        others: list[Messages] = []
        self.needed(present, where)
        if MESSAGES in present:
            messages = checked_messages(present[MESSAGES], f"{where}: {MESSAGES}")
        elif COMPLETION in present:
            prompt = prompt_of(present[PROMPT], f"{where}: {PROMPT}")
            completion, *others = _completions(present[COMPLETION], f"{where}: {COMPLETION}")
            messages = [*prompt, *completion]
        else:
            messages = [*prompt_of(present[PROMPT], f"{where}: {PROMPT}"), {}]
        *context, answer = messages
        if answer and answer["role"] != "assistant":
            problem = f"its last message is the {answer['role']}'s"
            if all(message["role"] != "assistant" for message in context):
                problem = "no assistant turn"
            raise UserError(
                f"{where}: {problem}; end with the assistant's, or name the column {PROMPT}"
            )
        if not context or context[-1]["role"] != "user":
            raise UserError(f"{where}: no message of the user before the last assistant turn")
        hidden = self.teacher_prompt and prompt_of(
            present[self.teacher_prompt], f"{where}: {self.teacher_prompt}"
        )
        source = Conversation(context, hidden or None).to_text()
        self.places.setdefault(source, where)
        if not answer:
            return source, ()
        return source, (answer["content"], *(other[-1]["content"] for other in others))


def _completions(value: Any, where: str) -> list[Messages]:
    """A completion: a text or messages; or a list of texts, each a reference of the row."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts) or not texts:
        return [checked_messages(value, where)]
    return [checked_messages([{"role": "assistant", "content": text}], where) for text in texts]


def every_turn(pairs: Pairs) -> Pairs:
    """One pair for each assistant turn of a conversation, with the turns before as its source."""
    turns = Pairs([], [])
    if any(len(references) > 1 for references in pairs.references):
        raise UserError(
            "env.turns=every: rows have several completions, which are references of the last turn "
            "alone; use env.turns=last"
        )
    for source, references in zip(pairs.sources, pairs.references, strict=True):
        messages = Conversation.from_text(source).messages
        for i, message in enumerate(messages):
            if message["role"] == "assistant" and i and messages[i - 1]["role"] == "user":
                turns.append(Conversation(messages[:i]).to_text(), (message["content"],))
        turns.append(source, references)
    return turns


def place_of(source: str, places: dict[str, str]) -> str:
    """Where the row of ``source``, or of a conversation that goes on after it, was read."""
    start = source.removesuffix("]")
    found = (place for text, place in places.items() if text.startswith(start))
    return places.get(source) or next(found, "")
