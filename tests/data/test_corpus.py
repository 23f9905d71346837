"""Corpora: what each reader takes, the one line each mistake gets, and which of the three places ``auto`` goes to."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen_env.data import hub, sources
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.files import file_stamps, is_blank, stream_lines, write_atomically
from textgen_env.data.hub import PARQUET, HubDataset
from textgen_env.data.readers import (
    HOLD_OUT,
    clean,
    read_folder,
    read_iwslt_xml,
    read_parallel,
    read_wmt,
    unescape_text,
)
from textgen_env.data.sources import CorpusSource
from textgen_env.data.vocabulary import subword_vocabulary
from textgen_env.errors import UserError
from textgen_env.tasks import iwslt
from textgen_env.tasks.translation import load_parallel_corpus

SMALL = {"train": ["ein haus .", "der see ."], "valid": ["ein see ."], "test": ["das haus ."]}


def folder_of(
    folder: Path, suffix: str = "", stems: tuple[str, ...] = ("train", "valid", "test")
) -> Path:
    """A well-formed de–en folder of the SMALL sentences."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, lines in zip(stems, SMALL.values(), strict=True):
        for language, texts in (("de", lines), ("en", [text.upper() for text in lines])):
            data = "".join(f"{text}\n" for text in texts).encode()
            (folder / f"{stem}.{language}{suffix}").write_bytes(
                gzip.compress(data) if suffix else data
            )
    return folder


def one_line(call, *args, **kwargs) -> str:
    """The message of the UserError that ``call`` raises, which has to be one line."""
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    assert message
    return message


def corpus_of(**splits: list[str]) -> Corpus:
    return Corpus(
        "c",
        "local",
        "here",
        {name: Pairs(texts, [(text,) for text in texts]) for name, texts in splits.items()},
    )


# --- parallel text


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("valid", ["valid", "dev", "val", "validation"])
def test_plain_gzipped_and_dev_are_read_alike(tmp_path: Path, suffix: str, valid: str) -> None:
    corpus = read_folder(folder_of(tmp_path / "mine", suffix, ("train", valid, "test")), "de", "en")
    assert (corpus.name, corpus.source, corpus.sizes) == (
        "mine",
        "local",
        {"train": 2, "valid": 1, "test": 1},
    )
    assert corpus.splits["train"] == Pairs(SMALL["train"], [("EIN HAUS .",), ("DER SEE .",)])
    assert corpus.fingerprint == read_folder(folder_of(tmp_path / "other"), "de", "en").fingerprint
    assert read_folder(tmp_path / "mine", "en", "de").splits["test"].sources == ["DAS HAUS ."]


def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes("\ufeffa\u2028b\x85c\x0bd\x1ce\r\nf".encode())
    lines = list(stream_lines(tmp_path / "f"))
    assert lines == ["a\u2028b\x85c\x0bd\x1ce", "f"]
    assert clean(lines[0]) == "a b c d e"


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\n\r\ufeff"), min_size=1),
        min_size=1,
    )
)
def test_lines_round_trip(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.gz"
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    if not all(map(is_blank, lines)):
        assert list(stream_lines(path)) == lines


def test_moses_escapes_are_undone_once_and_only_when_asked(tmp_path: Path) -> None:
    escaped = (
        "people &apos;s &quot; &amp; &amp;lt; &lt;b&gt; &#124; &#91; &#93; at&t &copy &nosuch;"
    )
    assert unescape_text(escaped) == "people 's \" & &lt; <b> | [ ] at&t &copy &nosuch;"
    folder_of(tmp_path)
    (tmp_path / "test.en").write_text(escaped + "\n", encoding="utf-8")
    assert read_parallel(tmp_path, "de", "en").splits["test"].references == [(escaped,)]
    assert read_parallel(tmp_path, "de", "en", unescape=True).splits["test"].references == [
        (unescape_text(escaped),)
    ]


# --- mistakes


def test_sides_of_different_length(tmp_path: Path) -> None:
    (folder_of(tmp_path) / "train.en").write_text("A\nB\nC\n", encoding="utf-8")
    message = one_line(read_parallel, tmp_path, "de", "en")
    assert "train.de has 2 lines" in message
    assert "train.en has 3" in message


@pytest.mark.parametrize("blank", [b"", b" \t", "\u3000".encode()])
def test_an_empty_line_is_named(tmp_path: Path, blank: bytes) -> None:
    (folder_of(tmp_path) / "train.en").write_bytes(b"A\n" + blank + b"\n")
    assert "train.en:2: empty line" in one_line(read_parallel, tmp_path, "de", "en")


@pytest.mark.parametrize("content", [b"", b"\n\n", b" \n"])
def test_an_empty_file_is_named(tmp_path: Path, content: bytes) -> None:
    (folder_of(tmp_path) / "valid.de").write_bytes(content)
    assert "valid.de: the file is empty" in one_line(read_parallel, tmp_path, "de", "en")


def test_bytes_that_are_not_utf8_are_placed(tmp_path: Path) -> None:
    (folder_of(tmp_path) / "train.de").write_bytes("ein haus\nein h\u00e4user\n".encode("latin-1"))
    assert "train.de:2: byte 0xe4 is not UTF-8" in one_line(read_parallel, tmp_path, "de", "en")


def test_a_gzip_cut_short_is_named(tmp_path: Path) -> None:
    folder_of(tmp_path, ".gz")
    (tmp_path / "test.de.gz").write_bytes((tmp_path / "test.de.gz").read_bytes()[:-9])
    assert "test.de.gz: not a whole gzip file" in one_line(read_parallel, tmp_path, "de", "en")
    (tmp_path / "test.de.gz").write_bytes(b"plain text")
    assert "test.de.gz: not a whole gzip file" in one_line(read_parallel, tmp_path, "de", "en")


def test_missing_files_and_folders_name_the_nearest(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "corpus", ".gz")
    message = one_line(read_folder, folder, "dd", "en")
    assert "no train.dd" in message
    assert "did you mean train.de?" in message
    assert "test.en" in message
    assert "did you mean corpus?" in one_line(read_folder, tmp_path / "corpsu", "de", "en")
    assert "no folder" in one_line(read_folder, tmp_path / "no" / "where", "de", "en")
    assert "both 'de'" in one_line(read_folder, folder, "de", "de")
    (tmp_path / "empty").mkdir()
    assert "holds: nothing" in one_line(read_folder, tmp_path / "empty", "de", "en")
    (folder / "train.de").write_text("x\n", encoding="utf-8")
    assert "both train.de and train.de.gz" in one_line(read_folder, folder, "de", "en")


# --- the released IWSLT files


def talk(*segments: str, docid: str = "1") -> str:
    body = "\n".join(f'<seg id="{i}"> {text} </seg>' for i, text in enumerate(segments, 1))
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<mteval>\n<doc docid="{docid}" genre="lectures">\n<title>T</title>'
    return f"{head}\n{body}\n</doc></mteval>"


def stop_workers(folder: Path, train: int = 46, pair: str = "de-en") -> Path:
    """A small release: ``train`` talk lines among metadata, two test sets of two segments."""
    folder.mkdir(exist_ok=True)
    for language in pair.split("-"):
        lines = [
            f"<url>u</url>\n<title>Titel</title>\n{language.title()} Satz {i}.\n<talkid>7</talkid>"
            for i in range(train)
        ]
        (folder / f"train.tags.{pair}.{language}").write_text(
            "\n".join(lines) + "\n", encoding="utf-8"
        )
        for name in ("IWSLT14.TED.tst2010", "IWSLT14.TEDX.dev2012"):
            text = talk(f"{name} &amp; {language}", f"&lt;Zwei&gt; AT&T {language}")
            (folder / f"{name}.{pair}.{language}.xml").write_text(text, encoding="utf-8")
    (folder / f"train.{pair.split('-')[1]}").write_text(
        "monolingual, not for us\n", encoding="utf-8"
    )
    return folder


@pytest.mark.parametrize(("source", "target"), [("de", "en"), ("en", "de")])
def test_a_release_is_read_as_the_usual_preparation_does(
    tmp_path: Path, source: str, target: str
) -> None:
    corpus = read_folder(stop_workers(tmp_path / "r"), source, target)
    assert corpus.sizes == {"train": 44, "valid": 2, "test": 4}
    assert corpus.splits["valid"].sources == [
        f"{source.title()} Satz 22.",
        f"{source.title()} Satz 45.",
    ]
    assert corpus.splits["test"].sources[:2] == [
        f"IWSLT14.TED.tst2010 & {source}",
        f"<Zwei> AT&T {source}",
    ]
    assert corpus.splits["test"].references[0] == (f"IWSLT14.TED.tst2010 & {target}",)
    assert "IWSLT14.TED.tst2010 + IWSLT14.TEDX.dev2012" in corpus.origin


def test_iwslt_is_tested_without_tedx_unless_asked(tmp_path: Path) -> None:
    folder = str(stop_workers(tmp_path / "r"))
    without, whole = (iwslt.load(folder, vocabulary=60, tedx=tedx).corpus for tedx in (False, True))
    assert iwslt.load(folder, vocabulary=60).corpus is without
    assert (without.sizes["test"], whole.sizes["test"]) == (2, 4)
    assert not any("tedx" in text for text in without.splits["test"].sources)
    assert "without IWSLT14.TEDX.dev2012" in without.origin
    assert without.splits["train"].sources == whole.splits["train"].sources
    for path in Path(folder).glob("*.TED.*"):
        path.unlink()
    assert "has no test XML" in one_line(read_iwslt_xml, Path(folder), "de", "en", tedx=False)


def test_tedx_is_refused_where_there_is_no_release(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for language in ("de", "en"):
            (tmp_path / f"{split}.{language}").write_text("x\n", encoding="utf-8")
    assert "env.tedx=true" in one_line(read_folder, tmp_path, "de", "en", tedx=True)
    assert read_folder(tmp_path, "de", "en", tedx=False).sizes["test"] == 1
    assert "env.tedx=true" in one_line(iwslt.load, corpus="bundled", tedx=True)


def test_empty_sides_of_a_release_are_left_out_and_counted(tmp_path: Path) -> None:
    stop_workers(tmp_path)
    path = tmp_path / "IWSLT14.TED.tst2010.de-en.en.xml"
    path.write_text(talk("one", ""), encoding="utf-8")
    corpus = read_iwslt_xml(tmp_path, "de", "en")
    assert corpus.sizes["test"] == 3
    assert "1 pairs with an empty side" in corpus.describe()


def test_a_release_with_parts_missing_says_which(tmp_path: Path) -> None:
    stop_workers(tmp_path)
    assert "did you mean 'de-en'" in one_line(read_folder, tmp_path, "dd", "en")
    (tmp_path / "IWSLT14.TED.tst2010.de-en.en.xml").rename(tmp_path / "away")
    assert "no IWSLT14.TED.tst2010.de-en.en.xml" in one_line(read_folder, tmp_path, "de", "en")
    (tmp_path / "away").rename(tmp_path / "IWSLT14.TED.tst2010.de-en.en.xml")
    (tmp_path / "train.tags.de-en.de").unlink()
    assert "no train.tags.de-en.de" in one_line(read_folder, tmp_path, "de", "en")
    (tmp_path / "train.tags.de-en.en").unlink()
    assert "no training text; put train.tags.de-en.de" in one_line(
        read_folder, tmp_path, "de", "en"
    )


def test_segments_that_do_not_match_are_placed(tmp_path: Path) -> None:
    stop_workers(tmp_path)
    path = tmp_path / "IWSLT14.TED.tst2010.de-en.en.xml"
    path.write_text(talk("one", "two", docid="2"), encoding="utf-8")
    assert "tst2010.de-en.de.xml:5: segment 1/1 stands where" in one_line(
        read_iwslt_xml, tmp_path, "de", "en"
    )
    path.write_text(talk("one", "two", "three"), encoding="utf-8")
    assert "has 2 lines" in one_line(read_iwslt_xml, tmp_path, "de", "en")
    path.write_text(talk("one", "two").replace("one </seg>", "one"), encoding="utf-8")
    assert "en.xml:5: <seg id='1'> is not closed" in one_line(read_iwslt_xml, tmp_path, "de", "en")
    path.write_text(talk("one", "two").replace("two </seg>", "two"), encoding="utf-8")
    assert "2 <seg> open but 1 are whole" in one_line(read_iwslt_xml, tmp_path, "de", "en")


def test_entities_are_never_expanded(tmp_path: Path) -> None:
    stop_workers(tmp_path)
    bomb = '<!DOCTYPE x [<!ENTITY a "boom"><!ENTITY f SYSTEM "file:///etc/passwd">]>' + talk(
        "&a; &f;", "b"
    )
    (tmp_path / "IWSLT14.TED.tst2010.de-en.de.xml").write_text(bomb, encoding="utf-8")
    assert read_iwslt_xml(tmp_path, "de", "en").splits["test"].sources[0] == "&a; &f;"


# --- the released WMT files


def news(folder: Path, **sizes: int) -> Path:
    """Files of as many pairs as ``sizes`` says, by stem."""
    folder.mkdir(exist_ok=True)
    for stem, size in sizes.items():
        for language in ("en", "de"):
            text = "".join(f"{language} {stem} &amp; {i}\n" for i in range(size))
            (folder / f"{stem.replace('_', '.')}.{language}.gz").write_bytes(
                gzip.compress(text.encode())
            )
    return folder


def test_of_a_wmt_release_the_last_news_test_the_one_before_validates_and_the_rest_trains(
    tmp_path: Path,
) -> None:
    folder = news(
        tmp_path / "wmt",
        europarl_tok=30,
        commoncrawl=3,
        newstest2013=4,
        newstest2015=6,
        newstest2014=5,
    )
    corpus = read_folder(folder, "en", "de", unescape=True)
    assert corpus.sizes == {"train": 33, "valid": 5, "test": 6}
    assert corpus.splits["train"].sources[:4] == [
        *(f"en commoncrawl & {i}" for i in range(3)),
        "en europarl_tok & 0",
    ]
    assert corpus.splits["train"].references[3] == ("de europarl_tok & 0",)
    assert corpus.splits["test"].sources[0] == "en newstest2015 & 0"
    assert (
        "train = commoncrawl + europarl.tok, valid = newstest2014, test = newstest2015"
        in corpus.describe()
    )


def test_of_a_wmt_release_with_one_news_every_23rd_training_pair_validates(tmp_path: Path) -> None:
    corpus = read_wmt(news(tmp_path / "wmt", a=2 * HOLD_OUT, newstest2013=4), "en", "de")
    assert corpus.splits["valid"].sources == [
        f"en a &amp; {i}" for i in (HOLD_OUT - 1, 2 * HOLD_OUT - 1)
    ]
    assert corpus.sizes == {"train": 2 * HOLD_OUT - 2, "valid": 2, "test": 4}
    assert not corpus.repeated


def test_a_wmt_release_with_parts_missing_says_which(tmp_path: Path) -> None:
    folder = news(tmp_path / "wmt", newstest2013=4)
    assert "has no training text" in one_line(read_folder, folder, "en", "de")
    assert "has no newstest*.fr" in one_line(read_folder, folder, "fr", "de")
    news(folder, europarl=5)
    (folder / "europarl.de.gz").write_bytes(gzip.compress(b"eins\n"))
    assert "has 5 lines but europarl.de.gz has 1" in one_line(read_folder, folder, "en", "de")
    (folder / "europarl.de.gz").unlink()
    assert "no europarl.de" in one_line(read_folder, folder, "en", "de")


def test_of_a_wmt_release_no_text_is_read_in_two_forms_nor_tested_and_trained_on(
    tmp_path: Path,
) -> None:
    folder = news(tmp_path / "twice", europarl=5, newstest2013=4)
    news(folder, **{"newstest2013.tok.bpe": 4, "newstest2013-a": 4})
    assert "newstest2013.en and newstest2013.tok.bpe.en: one text twice" in one_line(
        read_folder, folder, "en", "de"
    )
    folder = news(tmp_path / "test", europarl=5, newstest2013=4, dev=4)
    assert "dev.en beside newstest*" in one_line(read_folder, folder, "en", "de")


def test_of_a_wmt_release_the_training_text_may_be_called_train(tmp_path: Path) -> None:
    folder = news(tmp_path / "wmt", train=5, newstest2013=4, newstest2014=3)
    assert read_folder(folder, "en", "de").sizes == {"train": 5, "valid": 4, "test": 3}


def test_too_few_pairs_to_hold_any_out_are_an_error(tmp_path: Path) -> None:
    folder = news(tmp_path / "wmt", europarl=HOLD_OUT - 1, newstest2013=4)
    assert f"give at least {HOLD_OUT}" in one_line(read_folder, folder, "en", "de")


# --- the record


def test_the_fingerprint_sees_text_order_and_split() -> None:
    same, base = corpus_of(train=["a", "b"], test=["c"]), corpus_of(train=["a", "b"], test=["c"])
    assert same.fingerprint == base.fingerprint
    assert len(base.fingerprint) == 16
    others = [
        corpus_of(train=["b", "a"], test=["c"]),
        corpus_of(train=["a"], test=["b", "c"]),
        corpus_of(train=["ab"], test=["c"]),
    ]
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_repeats_across_splits_are_counted_not_refused() -> None:
    corpus = corpus_of(train=["a", "a", "b"], valid=["a", "c"], test=["b", "c", "d"])
    assert corpus.repeated == {"valid": 1, "test": 2}
    assert "1 valid, 2 test source sentences also stand in an earlier split" in corpus.describe()
    assert "earlier split" not in corpus_of(train=["a", "a"], test=["b"]).describe()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomically(tmp_path / "f", b"old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space"):
        write_atomically(tmp_path / "f", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


# --- the hub


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """A data set in the layout of the hub's parquet export."""
    datasets = pytest.importorskip("datasets", reason="the hub extra (datasets) is not installed")
    for split, texts in zip(("train", "validation", "test"), SMALL.values(), strict=True):
        rows = [{"translation": {"de": text, "en": text.upper()}} for text in texts] + [
            {"translation": {"de": " ", "en": "X"}}
        ]
        folder = tmp_path / "set" / "iwslt2017-de-en" / split
        folder.mkdir(parents=True)
        datasets.Dataset.from_list(rows).to_parquet(folder / "0000.parquet")
    return tmp_path / "set"


def hub_set(folder: Path, source: str = "de", config: str = "iwslt2017-de-en") -> HubDataset:
    return HubDataset("IWSLT", str(folder), source, "en", config, PARQUET)


def test_a_data_set_is_read_once_then_from_the_cache(
    data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    ask = hub_set(data_set)
    assert not hub.is_prepared(ask)
    corpus = hub.load_hub(ask)
    assert corpus.source == "hub"
    assert str(data_set) in corpus.origin
    assert "3 pairs with an empty side" in corpus.describe()
    assert corpus.fingerprint == read_folder(folder_of(tmp_path / "same"), "de", "en").fingerprint
    assert hub.is_prepared(ask)
    monkeypatch.setitem(sys.modules, "datasets", None)  # importing it would now fail
    assert hub.load_hub(ask) == corpus
    assert find("auto", hub=ask) == corpus


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data.replace(b"haus", b"hauz", 1),
        lambda data: data[:-20],
        lambda data: b"",
        lambda data: b'{"origin": "of an earlier version", "empty": 0}',
    ],
)
def test_a_prepared_data_set_that_is_damaged_is_said_and_downloaded_again(
    harm, data_set, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    ask = hub_set(data_set)
    whole = hub.load_hub(ask)
    (path,) = (tmp_path / "cache" / "datasets").iterdir()
    before = path.read_bytes()
    path.write_bytes(harm(before))
    assert path.read_bytes() != before
    with pytest.warns(UserWarning, match=f"{path} is damaged.*; it is downloaded again"):
        assert hub.load_hub(ask) == whole
    assert hub.load_hub(ask) == whole


def test_a_data_set_in_a_folder_is_read_again_when_it_changes(
    data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    before = hub.load_hub(hub_set(data_set))
    row = {"translation": {"de": "neu", "en": "NEW"}}
    datasets.Dataset.from_list([row]).to_parquet(
        data_set / "iwslt2017-de-en" / "test" / "0000.parquet"
    )
    after = hub.load_hub(hub_set(data_set))
    assert (before.splits["test"].sources, after.splits["test"].sources) == (
        ["das haus ."],
        ["neu"],
    )


def test_wrong_languages_and_splits_of_a_data_set_are_named(
    data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    assert "no fr–en text (its columns: de, en)" in one_line(hub.load_hub, hub_set(data_set, "fr"))
    assert "nosuch" in one_line(hub.load_hub, hub_set(data_set, config="nosuch"))


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "pip install -e '.[hub]'" in one_line(hub.load_hub, HubDataset("AB", "a/b", "de", "en"))


def test_reachability_is_bounded_and_gives_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.unreachable_reason("a/b") == "HF_HUB_OFFLINE is set"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be reached" in hub.unreachable_reason("a/b")
    monkeypatch.setattr(hub, "REACHABLE_WITHIN", 0.01)
    monkeypatch.setattr(hub, "_ask", lambda *_: __import__("time").sleep(1))
    assert "no answer" in hub.unreachable_reason("a/b")


# --- which one


def find(
    kind: str,
    data_dir: str | None = None,
    source: str = "de",
    hub: HubDataset | None = None,
    pairs: int = 20,
):
    return load_parallel_corpus(
        CorpusSource(kind, data_dir, pairs, hub), source, "en" if source != "en" else "de"
    )


def test_auto_takes_the_folder_then_the_hub_then_the_bundled_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = HubDataset("AB", "a/b", "de", "en")
    assert find("auto", str(folder_of(tmp_path / "f")), hub=ask).source == "local"
    fallen = find("auto", hub=ask)
    assert fallen.source == "bundled"
    assert "HF_HUB_OFFLINE is set" in fallen.describe()
    assert "these scores are not AB's" in fallen.describe()
    assert "these scores are not" not in find("auto").describe()
    assert "no env.data_dir given" in find("auto").describe()
    monkeypatch.setattr(sources, "unreachable_reason", lambda _: "")
    monkeypatch.setattr(sources, "load_hub", lambda data: Corpus(data.name, "hub", "there", {}))
    assert find("auto", hub=ask).source == "hub"
    monkeypatch.setattr(
        sources, "load_hub", lambda *_: (_ for _ in ()).throw(UserError("gone since"))
    )
    assert "gone since" in find("auto", hub=ask).describe()


def test_bundled_goes_both_ways() -> None:
    forth, back = find("bundled"), find("bundled", source="en")
    assert forth.sizes == {"train": 20, "valid": 2, "test": 2}
    assert back.splits["train"].sources == [text for (text,) in forth.splits["train"].references]
    assert "German–English" in one_line(find, "bundled", source="fr")


def test_what_was_asked_for_and_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    assert "did you mean 'bundled'" in one_line(find, "bundeld")
    assert "needs env.data_dir" in one_line(find, "local")
    assert "no data set on the hub" in one_line(find, "hub")
    assert "drop one" in one_line(find, "bundled", str(tmp_path))
    assert "no folder" in one_line(find, "auto", str(tmp_path / "missing"))
    assert "env.corpus=hub" in one_line(
        find, "hub", hub=HubDataset("N", "nobody/nothing", "de", "en")
    )


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path / "mine")
    monkeypatch.setattr(os, "access", lambda *_: False)  # as it is for everybody but root
    assert "mine cannot be read (Permission denied); chmod u+rx it" in one_line(
        read_folder, folder, "de", "en"
    )
    assert one_line(read_folder, tmp_path / "mien", "de", "en").endswith(
        "no folder " + str(tmp_path / "mien")
    )


def test_a_stamp_changes_with_the_folder(tmp_path: Path) -> None:
    before = file_stamps(folder_of(tmp_path))
    assert before == file_stamps(tmp_path) != () == file_stamps(None)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert file_stamps(tmp_path) == before
    (tmp_path / "train.de").write_text("anders\n", encoding="utf-8")
    assert file_stamps(tmp_path) != before


def test_a_file_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "atomic", b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_damaged_vocabulary_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path))
    corpus = corpus_of(train=["ein haus", "der see"])
    whole = subword_vocabulary(corpus, 40)
    (path,) = (tmp_path / "vocabularies").iterdir()
    path.write_text("{", encoding="utf-8")
    with pytest.warns(UserWarning, match="damaged, and trained again"):
        assert subword_vocabulary(corpus, 40).fingerprint == whole.fingerprint
    assert subword_vocabulary(corpus, 40).fingerprint == whole.fingerprint


# --- real text


def test_the_real_corpus_has_its_published_sizes(corpora: Path) -> None:
    corpus = read_folder(corpora / "iwslt14", "de", "en", unescape=True)
    assert corpus.sizes == {"train": 53_498, "valid": 7_283, "test": 6_750}
    assert not any("&apos;" in text or "&quot;" in text for text in corpus.splits["test"].sources)


def test_the_released_test_sets_are_the_standard_split(corpora: Path, tmp_path: Path) -> None:
    raw = corpora / "iwslt14" / "raw_devtest_xml"
    assert "put train.tags.de-en.de" in one_line(read_folder, raw, "de", "en")
    stop_workers(tmp_path)
    for path in [*tmp_path.glob("*.xml")]:
        path.unlink()
    for path in raw.glob("*.xml"):
        (tmp_path / path.name).symlink_to(path)
    assert read_folder(tmp_path, "de", "en").sizes["test"] == 6_750
    assert read_folder(tmp_path, "de", "en", tedx=False).sizes["test"] == 5_585


def test_real_wmt_pieces_are_one_corpus(corpora: Path) -> None:
    corpus = read_folder(corpora / "wmt_en_de", "en", "de", unescape=True)
    assert corpus.sizes["test"] == 3_000
    assert corpus.sizes["train"] + corpus.sizes["valid"] == 20_000 + 10_000 + 9_965
