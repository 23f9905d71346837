"""DialogSum-v0: summaries of everyday dialogues (Chen et al. 2021), several references each in the test split."""

from __future__ import annotations

from textgen_env.data.hub import HubDataset
from textgen_env.data.limit import Limit
from textgen_env.data.sources import CorpusSource
from textgen_env.tasks.summarization import find_summaries, summarization
from textgen_env.tasks.task import Task, once

ID = "DialogSum-v0"


@once
def load(
    data_dir: str | None = None,
    corpus: str = "auto",
    horizon: int = 100,
    limit_ratio: float | None = None,
    limit_offset: int | None = None,
    source_limit: int = 400,
    target_limit: int = 100,
    vocabulary: int = 8_000,
    lowercase: bool = True,
    hub: str = "knkarthick/dialogsum",
    bundled_pairs: int = 10_000,
) -> Task:
    """Summaries of dialogues: a local folder, DialogSum from the hub, or the bundled corpus in their stead.

    What is too long is cut, in training as well as in testing: no dialogue is skipped.  A dialogue ends after
    ``source_limit`` tokens, a training summary after ``target_limit``; summaries are scored against whole references.

    Args:
        data_dir: folder with {train,valid,test}.jsonl, plain or .gz: dialogue and summary (or summary1, summary2, …) a line
        corpus: auto (data_dir, else a prepared cache, else the hub, else bundled), local, hub or bundled
        horizon: longest summary in tokens, EOS included
        limit_ratio: a of a limit a·S + b on the tokens generated for a source of S tokens; null: the horizon alone
        limit_offset: b of that limit
        source_limit: tokens at which a dialogue is cut, EOS included
        target_limit: tokens at which a training summary is cut, EOS included; never more than the horizon
        vocabulary: size of the subword vocabulary of dialogues and summaries
        lowercase: lower-case both sides; ROUGE does not see case
        hub: data set on the hub, or a folder in the same layout
        bundled_pairs: training pairs of the bundled corpus, its first ones
    """
    limit = Limit(horizon, limit_ratio, limit_offset)
    data = HubDataset("DialogSum", hub, "dialogue", "summary", join=True)
    text = find_summaries(CorpusSource(corpus, data_dir, bundled_pairs, data), "dialogues")
    text = text.lowercased() if lowercase else text
    return summarization(ID, text, vocabulary, source_limit, target_limit, limit)
