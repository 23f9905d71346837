"""Token ids of conversations: prompts within the source limit, and the turns to learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textgen_env.data.chat import Conversation, Messages, place_of
from textgen_env.data.chat_template import (
    CHUNK,
    ChatError,
    ChatTemplate,
    Job,
    chat_tokenizer,
    cut_after_eos,
)
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.split import Split
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.types import EOS

Ids = list[int]
Rendered = dict[int, tuple[str, Ids]]  # by row: a text and its tokens


class Prompts(NamedTuple):
    """Tokens of prompts.

    Args:
        ids: The tokens of each prompt, with EOS. A prompt whose last turn alone is too long keeps
            its last ``limit + 1`` tokens.
        shortened: The rows that lost their oldest turns.
    """

    ids: list[Ids]
    shortened: list[int]


class ChatEncoder(NamedTuple):
    """Encodes conversations with a template and a vocabulary.

    Args:
        template: The chat template.
        vocabulary: The vocabulary.
        limit: Maximum length of a prompt in tokens, EOS included.
    """

    template: ChatTemplate
    vocabulary: Vocabulary
    limit: int

    def split(self, corpus: Corpus, name: str) -> Split:
        """Encode the split ``name`` of a corpus; a row without a reference has EOS as its target.

        Raises:
            UserError: The template refuses a conversation. The message names its place.
        """
        pairs, chunks = corpus.splits[name], []
        for start in range(0, len(pairs), CHUNK):
            chunk = pairs.rows([*range(start, min(start + CHUNK, len(pairs)))])
            try:
                chunks.append(self._chunk(chunk))
            except ChatError as error:
                place = place_of(chunk.sources[error.number], corpus.places)
                where = place or f"{corpus.origin}, {name} row {start + error.number + 1}"
                raise UserError(f"{where}: {error}") from None
        return Split(
            [ids for chunk in chunks for ids in chunk.source],
            [ids for chunk in chunks for ids in chunk.target],
            pairs,
            shortened=sum(chunk.shortened for chunk in chunks),
            teacher_source=[ids for chunk in chunks for ids in chunk.teacher_source],
        )

    def _chunk(self, pairs: Pairs) -> Split:
        conversations = [Conversation.from_text(source) for source in pairs.sources]
        messages = dict(enumerate(conversation.messages for conversation in conversations))
        prompts = self._render({i: (prompt, True) for i, prompt in messages.items()})
        turns = {
            i: ([*messages[i], {"role": "assistant", "content": answer}], False)
            for i, (answer, *_) in enumerate(pairs.references)
            if answer
        }
        targets = {i: [EOS] for i in messages}
        for i, whole in self._render(turns).items():
            targets[i] = self._target(prompts[i], whole, i)
        hidden = [c.teacher_prompt for c in conversations if c.teacher_prompt is not None]
        sources, shortened = self._within_limit(messages, prompts)
        return Split(
            [np.array(ids) for ids in sources],
            [np.array(ids) for ids in targets.values()],
            pairs,
            shortened=len(shortened),
            teacher_source=[np.array(ids[-self.limit :]) for ids in self.prompts(hidden).ids],
        )

    def prompts(self, prompts: Sequence[Messages]) -> Prompts:
        """Encode prompts, without the oldest turns if there are too many.

        What comes before the first message of the user, such as the system's, is kept, and so is
        the last turn.

        Raises:
            ChatError: The template refuses a prompt.
        """
        messages = dict(enumerate(prompts))
        whole = self._render({i: (prompt, True) for i, prompt in messages.items()})
        return self._within_limit(messages, whole)

    def _within_limit(self, prompts: dict[int, Messages], whole: Rendered) -> Prompts:
        """Bisect the number of oldest turns to leave out, for all prompts at once."""
        ids = {i: [*tokens, EOS] for i, (_, tokens) in whole.items()}
        users = {
            i: [place for place, message in enumerate(prompts[i]) if message["role"] == "user"]
            for i in prompts
            if len(ids[i]) > self.limit
        }
        few = dict.fromkeys(users, 0)  # leaving out so many turns is not enough
        many = {i: len(places) - 1 for i, places in users.items()}  # all but the last turn
        trial = {i: most for i, most in many.items() if most}
        while trial:
            jobs = {
                i: (prompts[i][: users[i][0]] + prompts[i][users[i][count] :], True)
                for i, count in trial.items()
            }
            for i, (_, tokens) in self._render(jobs).items():
                if len(tokens) < self.limit or trial[i] == many[i]:
                    ids[i] = [*tokens, EOS]
                ends = many if len(tokens) < self.limit else few
                ends[i] = trial[i]
            trial = {i: (few[i] + many[i]) // 2 for i in trial if many[i] - few[i] > 1}
        shortened = [i for i in users if len(ids[i]) <= self.limit]
        return Prompts([tokens[-self.limit - 1 :] for tokens in ids.values()], shortened)

    def _target(self, prompt: tuple[str, Ids], whole: tuple[str, Ids], number: int) -> Ids:
        """The tokens of the last turn, up to EOS."""
        if not whole[0].startswith(prompt[0]):
            raise ChatError(
                "with its generation prompt it is not the beginning of the conversation; give "
                "another one with env.template=FILE",
                number,
            )
        if whole[1][: len(prompt[1])] == prompt[1]:
            return cut_after_eos(whole[1][len(prompt[1]) :])
        # the tokenizer merges the end of the prompt with the beginning of the turn
        tokenizer = chat_tokenizer(self.vocabulary, self.template.names)
        turn = tokenizer.encode(whole[0][len(prompt[0]) :], add_special_tokens=False)
        return cut_after_eos(turn.ids)

    def _render(self, jobs: dict[int, Job]) -> Rendered:
        """The text and the tokens of each; special tokens in the text are recognized."""
        tokenizer = chat_tokenizer(self.vocabulary, self.template.names)
        try:
            texts = [*self.template.render([*jobs.values()])]
        except ChatError as error:
            raise ChatError(error.reason, [*jobs][error.number]) from None
        encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids = (encoding.ids for encoding in encodings)
        return dict(zip(jobs, zip(texts, ids, strict=True), strict=True))
