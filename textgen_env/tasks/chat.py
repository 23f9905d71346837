"""Chat-v0: answer in a conversation; one episode is one assistant turn."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

from textgen_env.data.bundled import read_bundled
from textgen_env.data.chat import ChatColumns, Conversation, every_turn
from textgen_env.data.chat_template import ChatTemplate, read_template
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.files import MAX_TEXT
from textgen_env.data.limit import Limit
from textgen_env.data.scope import current_scope
from textgen_env.data.sources import data_place, read_corpus
from textgen_env.data.vocabulary import subword_vocabulary
from textgen_env.errors import UserError, unknown
from textgen_env.tasks.task import Task, cached_load

ID = "Chat-v0"
TURNS = ("last", "every")


@cached_load
def load(
    data: str | None = None,
    data_dir: str | None = None,
    corpus: str = "auto",
    turns: Literal["last", "every"] = "last",
    template: str | None = None,
    horizon: int = 256,
    limit_ratio: float | None = None,
    limit_offset: int | None = None,
    source_limit: int = 512,
    target_limit: int | None = None,
    vocabulary: int = 8_000,
    metric: Literal["rouge", "chrf", "accuracy"] = "rouge",
    bundled_pairs: int = 10_000,
) -> Task:
    """Conversations, or the bundled dialogues to summarize if no data is given.

    A row has ``messages``, or ``prompt`` and ``completion``, or ``prompt`` alone. Prompts beyond
    ``source_limit`` lose their oldest turns; training rows that are still too long are skipped.

    Args:
        data: table (.jsonl, .parquet, .tsv, .csv), a folder with one per split, a save_to_disk
            folder of datasets, or hub:OWNER/NAME; text files also in .gz
        data_dir: another name of data
        corpus: auto (data if given, else bundled; no network), local or bundled
        turns: the assistant turns to learn, each an episode: last or every
        template: file with a chat template; null: that of the tokenizer of a hf: model, or a plain
            one
        horizon: maximum length of a turn in tokens, EOS included
        limit_ratio: a in an output limit a·S + b for a prompt of S tokens; null: only the horizon
        limit_offset: b in that limit
        source_limit: maximum prompt length in tokens, EOS included
        target_limit: longer training turns are truncated to this number of tokens, EOS included;
            null: they are skipped
        vocabulary: size of the subword vocabulary, if no hf: model brings its own
        metric: what test outputs are scored with, and the default reward
        bundled_pairs: number of training pairs of the bundled corpus
    """
    if turns not in TURNS:
        raise unknown("turns", turns, TURNS)
    limit = Limit(horizon, limit_ratio, limit_offset)
    scope = current_scope()
    columns = ChatColumns(teacher_prompt=scope.teacher_prompt)
    if turns == "every" and columns.teacher_prompt:
        raise UserError(
            f"teacher.prompt_field={columns.teacher_prompt}: a row has one such prompt, for its "
            "last turn; use env.turns=last"
        )
    place = data_place(data, data_dir)
    text = read_corpus(corpus, place, columns, partial(read_dialogues, bundled_pairs))
    text = text.with_pairs(with_empty_references)
    text = text.with_pairs(every_turn) if turns == "every" else text
    return Task(
        ID,
        replace(text, places=columns.places),
        scope.vocabulary or subword_vocabulary(text.mapped(_as_text), vocabulary),
        source_limit,
        limit,
        metric,
        metric,
        target_limit=target_limit,
        template=scope.template or (read_template(template) if template else ChatTemplate()),
    )


def read_dialogues(pairs: int) -> Corpus:
    """The bundled dialogues, each as the message of a user; the answer is a summary."""
    return read_bundled("dialogues", pairs).with_pairs(
        lambda rows: Pairs(
            [Conversation.from_text(source).to_text() for source in rows.sources], rows.references
        )
    )


def with_empty_references(pairs: Pairs) -> Pairs:
    """One empty reference for each row without one, which is a prompt alone."""
    return Pairs(pairs.sources, [references or ("",) for references in pairs.references])


def _as_text(text: str) -> str:
    """The messages of a conversation with their roles; other text is unchanged."""
    if not text.startswith(("[", "{")):
        return text
    messages = Conversation.from_text(text).messages
    lines = [f"{message['role']}: {message['content']}" for message in messages]
    return " ".join([*lines, "assistant:"])[:MAX_TEXT]
