"""An IWSLT release: the usual splits, and the one-line error for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.corpora import (
    error_message,
    read_folder,
    talk_xml,
    write_iwslt_release,
    write_parallel,
)
from textgen_env.data.parallel import read_iwslt_xml
from textgen_env.tasks import iwslt

TEST_EN = "IWSLT14.TED.tst2010.de-en.en.xml"


@pytest.mark.parametrize(("source", "target"), [("de", "en"), ("en", "de")])
def test_splits_are_those_of_the_usual_preparation(
    tmp_path: Path, source: str, target: str
) -> None:
    corpus = read_folder(write_iwslt_release(tmp_path / "r"), source, target)
    assert corpus.sizes == {"train": 44, "valid": 2, "test": 4}
    held_out = [f"{source.title()} Satz {i}." for i in (22, 45)]
    assert corpus.splits["valid"].sources == held_out
    first_two = [f"IWSLT14.TED.tst2010 & {source}", f"<Zwei> AT&T {source}"]
    assert corpus.splits["test"].sources[:2] == first_two
    assert corpus.splits["test"].references[0] == (f"IWSLT14.TED.tst2010 & {target}",)
    assert "IWSLT14.TED.tst2010 + IWSLT14.TEDX.dev2012" in corpus.origin


def test_task_excludes_tedx_by_default(tmp_path: Path) -> None:
    folder = str(write_iwslt_release(tmp_path / "r"))
    without, with_tedx = (
        iwslt.load(folder, vocabulary=60, tedx=tedx).corpus for tedx in (False, True)
    )
    assert iwslt.load(folder, vocabulary=60).corpus is without
    assert (without.sizes["test"], with_tedx.sizes["test"]) == (2, 4)
    assert not any("tedx" in text for text in without.splits["test"].sources)
    assert "without IWSLT14.TEDX.dev2012" in without.origin
    assert without.splits["train"].sources == with_tedx.splits["train"].sources


def test_release_of_tedx_alone_has_no_test_split(tmp_path: Path) -> None:
    for path in write_iwslt_release(tmp_path).glob("*.TED.*"):
        path.unlink()
    message = error_message(read_iwslt_xml, tmp_path, "de", "en", tedx=False)
    assert "has no test XML" in message


def test_tedx_without_a_release_is_an_error(tmp_path: Path) -> None:
    write_parallel(tmp_path)
    assert "env.tedx=true" in error_message(read_folder, tmp_path, "de", "en", tedx=True)
    assert read_folder(tmp_path, "de", "en", tedx=False).sizes["test"] == 1
    assert "env.tedx=true" in error_message(iwslt.load, corpus="bundled", tedx=True)


def test_pairs_with_an_empty_side_are_left_out_and_counted(tmp_path: Path) -> None:
    write_iwslt_release(tmp_path)
    (tmp_path / TEST_EN).write_text(talk_xml("one", ""), encoding="utf-8")
    corpus = read_iwslt_xml(tmp_path, "de", "en")
    assert corpus.sizes["test"] == 3
    assert "1 pairs with an empty side" in corpus.describe()


def test_missing_files_are_named(tmp_path: Path) -> None:
    write_iwslt_release(tmp_path)
    assert "did you mean 'de-en'" in error_message(read_folder, tmp_path, "dd", "en")
    (tmp_path / TEST_EN).rename(tmp_path / "moved")
    assert f"no {TEST_EN}" in error_message(read_folder, tmp_path, "de", "en")
    (tmp_path / "moved").rename(tmp_path / TEST_EN)
    (tmp_path / "train.tags.de-en.de").unlink()
    assert "no train.tags.de-en.de" in error_message(read_folder, tmp_path, "de", "en")
    (tmp_path / "train.tags.de-en.en").unlink()
    message = error_message(read_folder, tmp_path, "de", "en")
    assert "no training text; add train.tags.de-en.de" in message


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (talk_xml("one", "two", docid="2"), "de.xml:5: segment 1/1 is aligned with segment 2/1"),
        (talk_xml("one", "two", "three"), "has 2 lines"),
        (
            talk_xml("one", "two").replace("one </seg>", "one"),
            "en.xml:5: <seg id='1'> is not closed",
        ),
        (
            talk_xml("one", "two").replace("two </seg>", "two"),
            "2 <seg> tags but 1 complete segments",
        ),
    ],
)
def test_segment_error_names_file_and_line(tmp_path: Path, xml: str, message: str) -> None:
    (write_iwslt_release(tmp_path) / TEST_EN).write_text(xml, encoding="utf-8")
    assert message in error_message(read_iwslt_xml, tmp_path, "de", "en")


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    write_iwslt_release(tmp_path)
    entities = '<!DOCTYPE x [<!ENTITY a "boom"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
    xml = entities + talk_xml("&a; &f;", "b")
    (tmp_path / "IWSLT14.TED.tst2010.de-en.de.xml").write_text(xml, encoding="utf-8")
    assert read_iwslt_xml(tmp_path, "de", "en").splits["test"].sources[0] == "&a; &f;"


def test_many_unterminated_tags_are_an_error(tmp_path: Path) -> None:
    """A backtracking parser would need minutes."""
    for language in ("de", "en"):
        (tmp_path / f"train.tags.de-en.{language}").write_text("eins\n" * 30)
        xml = '<doc docid="1">\n' + "<seg id='1'\n" * 40_000
        (tmp_path / f"a.de-en.{language}.xml").write_text(xml)
    message = error_message(read_folder, tmp_path, "de", "en")
    assert "0 <seg> tags but 0 complete segments" in message


def test_real_test_sets_have_the_standard_sizes(corpora: Path, tmp_path: Path) -> None:
    raw = corpora / "iwslt14" / "raw_devtest_xml"
    assert "add train.tags.de-en.de" in error_message(read_folder, raw, "de", "en")
    for path in [*write_iwslt_release(tmp_path).glob("*.xml")]:
        path.unlink()
    for path in raw.glob("*.xml"):
        (tmp_path / path.name).symlink_to(path)
    assert read_folder(tmp_path, "de", "en").sizes["test"] == 6_750
    assert read_folder(tmp_path, "de", "en", tedx=False).sizes["test"] == 5_585
