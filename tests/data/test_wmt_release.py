"""A WMT release: which files train, validate and test, and the error for each mistake."""

from __future__ import annotations

from pathlib import Path

from support.corpora import error_message, read_folder, write_text
from textgen_env.data.parallel import HOLD_OUT, read_wmt


def write_wmt(folder: Path, **sizes: int) -> Path:
    """Files with the given numbers of pairs by stem; ``_`` in a stem stands for a dot."""
    folder.mkdir(exist_ok=True)
    for stem, size in sizes.items():
        for language in ("en", "de"):
            text = "".join(f"{language} {stem} &amp; {i}\n" for i in range(size))
            write_text(folder / f"{stem.replace('_', '.')}.{language}.gz", text.encode())
    return folder


def test_last_newstest_is_test_and_the_one_before_is_validation(tmp_path: Path) -> None:
    news = {"newstest2013": 4, "newstest2015": 6, "newstest2014": 5}
    folder = write_wmt(tmp_path / "wmt", europarl_tok=30, commoncrawl=3, **news)
    corpus = read_folder(folder, "en", "de", unescape=True)
    assert corpus.sizes == {"train": 33, "valid": 5, "test": 6}
    train = corpus.splits["train"]
    commoncrawl = [f"en commoncrawl & {i}" for i in range(3)]
    assert train.sources[:4] == [*commoncrawl, "en europarl_tok & 0"]
    assert train.references[3] == ("de europarl_tok & 0",)
    assert corpus.splits["test"].sources[0] == "en newstest2015 & 0"
    origin = "train = commoncrawl + europarl.tok, valid = newstest2014, test = newstest2015"
    assert origin in corpus.describe()


def test_with_one_newstest_every_23rd_training_pair_is_for_validation(tmp_path: Path) -> None:
    corpus = read_wmt(write_wmt(tmp_path / "wmt", a=2 * HOLD_OUT, newstest2013=4), "en", "de")
    held_out = [f"en a &amp; {i}" for i in (HOLD_OUT - 1, 2 * HOLD_OUT - 1)]
    assert corpus.splits["valid"].sources == held_out
    assert corpus.sizes == {"train": 2 * HOLD_OUT - 2, "valid": 2, "test": 4}
    assert not corpus.repeated


def test_training_file_may_be_named_train(tmp_path: Path) -> None:
    folder = write_wmt(tmp_path / "wmt", train=5, newstest2013=4, newstest2014=3)
    assert read_folder(folder, "en", "de").sizes == {"train": 5, "valid": 4, "test": 3}


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = write_wmt(tmp_path / "wmt", newstest2013=4)
    assert "has no training text" in error_message(read_folder, folder, "en", "de")
    assert "has no newstest*.fr" in error_message(read_folder, folder, "fr", "de")
    europarl = write_wmt(folder, europarl=5) / "europarl.de.gz"
    write_text(europarl, b"eins\n")
    message = error_message(read_folder, folder, "en", "de")
    assert "has 5 lines but europarl.de.gz has 1" in message
    europarl.unlink()
    assert "no europarl.de" in error_message(read_folder, folder, "en", "de")


def test_same_text_in_two_forms_is_an_error(tmp_path: Path) -> None:
    folder = write_wmt(tmp_path / "wmt", europarl=5, newstest2013=4)
    write_wmt(folder, **{"newstest2013.tok.bpe": 4, "newstest2013-a": 4})
    message = error_message(read_folder, folder, "en", "de")
    assert "newstest2013.en and newstest2013.tok.bpe.en, which look like the same text" in message


def test_second_test_set_is_an_error(tmp_path: Path) -> None:
    folder = write_wmt(tmp_path / "wmt", europarl=5, newstest2013=4, dev=4)
    assert "dev.en and newstest*" in error_message(read_folder, folder, "en", "de")


def test_too_few_pairs_to_hold_out_are_an_error(tmp_path: Path) -> None:
    folder = write_wmt(tmp_path / "wmt", europarl=HOLD_OUT - 1, newstest2013=4)
    assert f"give at least {HOLD_OUT}" in error_message(read_folder, folder, "en", "de")


def test_real_wmt_files_are_one_corpus(corpora: Path) -> None:
    corpus = read_folder(corpora / "wmt_en_de", "en", "de", unescape=True)
    assert corpus.sizes["test"] == 3_000
    assert corpus.sizes["train"] + corpus.sizes["valid"] == 20_000 + 10_000 + 9_965
