"""Choose the sacreBLEU tokenizer that fits a language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from textgen_env.errors import UserError, unknown
from textgen_env.metrics.scores import TOKENIZERS, corpus_score, sacrebleu_metric
from textgen_env.metrics.scripts import LANGUAGES, main_script

FITTING = {"Han": "zh", "Kana": "ja-mecab", "": "13a"}  # script → tokenizer
KOREAN = ("ko", "kor")  # has spaces, so its script does not identify it
EXTRAS = {"ja-mecab": "ja", "ko-mecab": "ko"}  # tokenizer → extra of sacreBLEU
SAMPLE = 1_000  # references used to detect the script


def bleu_metric(choice: str, language: str, references: Sequence[str], hint: str) -> str:
    """Return the BLEU metric name for a choice of tokenizer.

    Args:
        choice: One of sacreBLEU's tokenizers, or ``auto``: by ``language``, or by the script of the
            references if the language is unknown.
        language: Code of the target language, such as ``zh``, ``zh-cn``, ``zho_Hans`` or ``pt-br``;
            may be empty.
        references: Texts that the tokenizer must fit.
        hint: What to do if none fits, for the error message.

    Returns:
        ``bleu`` (tokenizer 13a) or ``bleu:TOKENIZER``, as in ``Task.metric``.

    Raises:
        UserError: The tokenizer is unknown, none fits, or its package is not installed.
    """
    if choice not in ("auto", *TOKENIZERS):
        raise unknown("bleu_tokenizer", choice, ["auto", *TOKENIZERS])
    tokenizer = choice if choice != "auto" else _fitting(language, references, hint)
    name = "bleu" if tokenizer == "13a" else f"bleu:{tokenizer}"
    try:
        sacrebleu_metric(name)
    except RuntimeError:
        install = f"python -m pip install 'sacrebleu[{EXTRAS[tokenizer]}]'"
        raise UserError(
            f"BLEU with the tokenizer {tokenizer} needs MeCab: {install}, or {hint}"
        ) from None
    return name


def check_scorable(name: str, references: Sequence[str], hint: str) -> None:
    """Raise UserError if even identical texts score 0 because all are shorter than 4 tokens."""
    scores = (corpus_score(name, [text], [(text,)], 0)["bleu"].value for text in references)
    if references and not any(scores):
        raise UserError(
            f"no validation reference has 4 tokens, so BLEU is 0 even for identical texts: {hint}"
        )


def _fitting(language: str, references: Sequence[str], hint: str) -> str:
    """Choose the tokenizer by the language code, or else by the script of the references."""
    code = re.split(r"[-_.]", language.lower())[0]
    if code in KOREAN:
        return "ko-mecab"
    script = LANGUAGES.get(code) or main_script(islice(references, SAMPLE))
    if script not in FITTING:
        text = f"text in {script} script" + (f" (env.target={language})" if language else "")
        raise UserError(
            f"sacreBLEU has no tokenizer for {text}, which has no spaces between words: {hint}"
        )
    return FITTING[script]
