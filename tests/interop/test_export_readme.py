"""The script in an export's README, run as it is, generates what the run generates."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from torch.nn.utils.rnn import pad_sequence

from agents.generation.decoding import greedy
from support.exports import HORIZON, SOURCE_LIMIT, TASK, WORDS, random_student, run_readme
from textgen_env.tasks import iwslt, multi30k, parallel_text, wmt16
from textgen_env.types import EOS

pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed (extra: export)")
from agents.interop import ctranslate2 as export

RAW = [  # each line depends on a preprocessing step
    "Das ist ein kleiner Satz .",
    "DAS  ist\tein GROSSER Satz . ",
    "das ist &quot; ein &quot; kleiner Satz &amp; mehr .",
    "das ist &apos; ein &#39; kleiner &#x27; Satz &#124; mehr .",
    "das ist &amp;lt; ein &amp;amp;quot; Satz &#38;lt; mehr",
    "Ό Σίσυφος ΟΔΟΣ İstanbul STRAßE",
    "das re-elect re ##AT##-##AT## elect re @-@ elect , ist ein Satz.",
    "das <S> ist </s> ein </S> Satz &lt;/S&gt;",
    "noch nie gesehen: \u4e2d\u6587 \N{GRINNING FACE}",
    " ".join(["ein"] * 30),
]


def write_corpus(folder: Path) -> Path:
    """Write ``RAW`` as source and target of every split, plus a short pair to train on."""
    folder.mkdir()
    for split, lines in (("train", [*RAW, "ein"]), ("valid", RAW), ("test", RAW)):
        for language in ("de", "en"):
            text = "\n".join(lines) + "\n"
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "limits",
    [{"source_limit": 100, "horizon": 100}, {"source_limit": 9, "horizon": 7}],
    ids=["whole", "truncated"],
)
@pytest.mark.parametrize(
    ("module", "options"),
    [
        (parallel_text, {"lowercase": False, "unescape": False}),
        (parallel_text, {"lowercase": False, "unescape": True}),
        (parallel_text, {"lowercase": True, "unescape": False}),
        (parallel_text, {"lowercase": True, "unescape": True}),
        (wmt16, {"lowercase": False, "unescape": False, "split_marks": True}),
        (wmt16, {"lowercase": True, "unescape": True, "split_marks": True}),
        (iwslt, {}),
        (multi30k, {}),
    ],
)
def test_the_script_translates_raw_text_as_the_run_does(module, options, limits, tmp_path):
    data = write_corpus(tmp_path / "data")
    task = module.load(data_dir=str(data), vocabulary=150, **options, **limits)
    policy = random_student(len(task.vocabulary), layers=1)
    export.export_model(policy, task, tmp_path / "model", "float32")
    source = task.splits["test"].source
    limit = task.limit(torch.tensor([*map(len, source)]))
    ours = greedy(policy, pad_sequence(list(map(torch.from_numpy, source)), True), limit)
    texts = [task.vocabulary.decode(row) for row in ours.action.tolist()]
    assert len(set(texts)) > len(RAW) // 2, "the outputs are varied"
    assert run_readme(tmp_path / "model", (data / "test.de").read_bytes()) == texts


@pytest.mark.parametrize("lowercase", [False, True])
def test_the_tokenizer_alone_lowercases_as_the_run_does(lowercase, tmp_path):
    data = write_corpus(tmp_path / "data")
    task = parallel_text.load(data_dir=str(data), vocabulary=150, lowercase=lowercase)
    policy = random_student(len(task.vocabulary), layers=1)
    export.export_model(policy, task, tmp_path / "model", "float32")
    tokenizer = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json"))
    for index in (0, 6):
        ids = [*tokenizer.encode(RAW[index]).ids, EOS]
        assert ids == task.splits["test"].source[index].tolist()


def test_the_script_encodes_special_tokens_as_text(tmp_path):
    policy = random_student(layers=1)
    export.export_model(policy, TASK, tmp_path / "model", "float32")
    texts = ["w1 w2 w3", "w1 </s> w2", "never seen", " ".join(["w7"] * 30)]
    ids = [torch.tensor([*WORDS.encode(text)[: SOURCE_LIMIT - 1], EOS]) for text in texts]
    ours = greedy(policy, pad_sequence(ids, batch_first=True), HORIZON)
    outputs = run_readme(tmp_path / "model", "\n".join(texts).encode())
    assert outputs == [WORDS.decode(row) for row in ours.action.tolist()]


def test_the_script_handles_empty_lines_byte_order_marks_and_crlf(tmp_path):
    export.export_model(random_student(layers=1), TASK, tmp_path / "model", "float32")
    assert run_readme(tmp_path / "model", b"") == [""]
    first, empty, last = run_readme(tmp_path / "model", b"\xef\xbb\xbfw1 w2\n\nw1 w2\r\n")
    assert first == last != empty == ""
