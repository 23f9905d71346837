"""Which of sacreBLEU's tokenizers fits a language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from textgen_env.errors import UserError, unknown
from textgen_env.metrics.scores import TOKENIZERS, corpus_score, sacrebleu_metric
from textgen_env.metrics.scripts import LANGUAGES, main_script

FITTING = {"Han": "zh", "Kana": "ja-mecab", "": "13a"}  # by script
KOREAN = ("ko", "kor")  # with spaces, so that its script says nothing
EXTRAS = {"ja-mecab": "ja", "ko-mecab": "ko"}  # of sacreBLEU
SAMPLE = 1_000  # references whose letters are counted


def bleu_metric(choice: str, language: str, references: Sequence[str], otherwise: str) -> str:
    """The name of BLEU with the tokenizer that ``choice`` means.

    Args:
        choice: one of sacreBLEU's tokenizers, or auto: by ``language``, and where that says nothing
            by the script of the references
        language: the target's code: ``zh``, ``zh-cn``, ``zho_Hans``, ``pt-br``; may be empty
        references: texts that the tokenizer has to fit
        otherwise: for the message, what to do where none fits

    Returns:
        ``bleu`` (13a) or ``bleu:TOKENIZER``, as in ``Task.metric``.

    Raises:
        UserError: there is no such tokenizer, none fits, or its package is not installed.
    """
    if choice not in ("auto", *TOKENIZERS):
        raise unknown("bleu_tokenizer", choice, ["auto", *TOKENIZERS])
    tokenizer = choice if choice != "auto" else _fitting(language, references, otherwise)
    name = "bleu" if tokenizer == "13a" else f"bleu:{tokenizer}"
    try:
        sacrebleu_metric(name)
    except RuntimeError:
        install = f"python -m pip install 'sacrebleu[{EXTRAS[tokenizer]}]'"
        raise UserError(
            f"BLEU with the tokenizer {tokenizer} needs MeCab: {install}, or {otherwise}"
        ) from None
    return name


def check_scorable(name: str, references: Sequence[str], otherwise: str) -> None:
    """UserError where every text is so short that corpus BLEU is 0 even for texts that agree."""
    if references and not any(
        corpus_score(name, [text], [(text,)], 0)["bleu"].value for text in references
    ):
        raise UserError(
            f"no validation reference has 4 tokens, so that BLEU is 0 even where texts agree: {otherwise}"
        )


def _fitting(language: str, references: Sequence[str], otherwise: str) -> str:
    code = re.split(r"[-_.]", language.lower())[0]
    if code in KOREAN:
        return "ko-mecab"
    script = LANGUAGES.get(code) or main_script(islice(references, SAMPLE))
    if script not in FITTING:
        text = f"text in {script} script" + (f" (env.target={language})" if language else "")
        raise UserError(
            f"sacreBLEU has no tokenizer for {text}, which has no spaces between words: {otherwise}"
        )
    return FITTING[script]
