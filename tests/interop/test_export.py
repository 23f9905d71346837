"""The exported student is the student: the same tokens, by the note that ships with it too."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

import cli
import dagger
import export as script
from agents.generation.beam import beam_search
from agents.generation.decoding import greedy
from agents.policies.rnn import RNN
from agents.policies.transformer import Transformer
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.limit import Limit
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.tasks import iwslt, multi30k, parallel_text, wmt16
from textgen_env.tasks.task import Task
from textgen_env.types import BOS, EOS, PAD, UNK, shift

pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed (extra: export)")
from agents.interop import ctranslate2 as export

WORDS, LIMIT, HORIZON = Vocabulary.from_words([f"w{i}" for i in range(40)]), 12, 15
PAIRS = Pairs(["w1 w2 w3"], [("w3 w2 w1",)])
CORPUS = Corpus("words", "local", "by hand", dict.fromkeys(("train", "valid", "test"), PAIRS))
WORLD = Task(
    "X-v0", CORPUS, WORDS, source_limit=LIMIT, limit=Limit(HORIZON), metric="bleu", reward="bleu"
)
SHAPES = {
    "one embedding, more decoder layers": {
        "layers": 1,
        "decoder_layers": 2,
        "share_source_embedding": True,
    },
    "two embeddings, more encoder layers": {"layers": 2, "decoder_layers": 1},
}


def student(tokens: int = len(WORDS), **shape) -> Transformer:
    """Random in every weight, biases and norms too."""
    generator = torch.Generator().manual_seed(3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        policy = (
            Transformer(tokens, width=16, heads=4, ffn=24, **shape).eval().requires_grad_(False)
        )
    for weight in policy.parameters():
        weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.1)
    policy.decoder_norm.weight.normal_(
        generator=generator
    )  # else a tied output repeats what came in
    policy.decoder_norm.bias.add_(
        policy.target_embedding.weight[EOS], alpha=1
    )  # else it hardly ever ends
    for layer in policy.decoder:
        layer.cross_attention.output.weight *= 3  # else the source hardly matters
    return policy


def sources(rows: int) -> Tensor:
    """Of 2 to LIMIT tokens; UNK among them."""
    generator = torch.Generator().manual_seed(4)
    length = torch.randint(2, LIMIT + 1, (rows, 1), generator=generator)
    tokens = torch.randint(UNK, len(WORDS), (rows, LIMIT), generator=generator)
    return tokens.masked_fill(torch.arange(LIMIT) >= length, PAD).scatter(1, length - 1, EOS)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_five_hundred_sentences_come_out_token_for_token(shape, tmp_path):
    policy, source = student(**shape), sources(500)
    export.export(policy, WORLD, tmp_path / "model", "float32")
    ours = greedy(policy, source, HORIZON)
    theirs = export.decoder(export.load(tmp_path / "model", workers=2), WORDS)(source, HORIZON)
    assert torch.equal(ours.action, theirs.action)
    assert torch.equal(ours.length, theirs.length)
    ended = (ours.action == EOS).any(1)
    assert 0.01 < ended.float().mean() < 0.99, "both ways to end an episode must occur"
    assert len(ours.action.unique(dim=0)) > 200, (
        "a student that always generates the same shows nothing"
    )
    limit, write = (
        1 + torch.arange(500) % HORIZON,
        export.decoder(export.load(tmp_path / "model"), WORDS),
    )
    assert torch.equal(greedy(policy, source, limit).action, write(source, limit).action)
    with pytest.raises(ValueError, match="one limit for all rows"):
        export.decoder(export.load(tmp_path / "model"), WORDS, width=2)(source, limit)


@pytest.fixture(scope="module")
def half_trained() -> Transformer:
    """A student that has half learned to copy, so that beams find something else than greedy search."""
    policy = Transformer(len(WORDS), layers=1, width=32, heads=4, ffn=32)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.005)
    for batch in sources(150 * 64).split(64):
        logits = policy(batch, shift(batch))
        F.cross_entropy(logits.flatten(0, 1), batch.flatten(), ignore_index=PAD).backward()
        optimizer.step()
        optimizer.zero_grad()
    return policy.eval().requires_grad_(False)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("width", [1, 4, 5])
def test_beams_come_out_token_for_token_where_they_end(
    width, length_penalty, half_trained, tmp_path
):
    """Where CTranslate2's hypothesis ended by EOS within the limit; it lets those cut at the limit compete.

    At a power of exactly 0 it goes on until the best candidate of a step ends, however many have ended before; its
    hypothesis may then have a higher score. A power of 1e-7, which changes no ranking, has it stop when K have ended, as
    ours does. It counts EOS in the length only with ``return_end_token=True``, which ``ctranslate2.decoder`` sets.
    """
    policy, source = half_trained, sources(300)
    export.export(policy, WORLD, tmp_path / "model", "float32")
    ours = widened(beam_search(policy, source, HORIZON, width, length_penalty).action)
    powers = (length_penalty,) if length_penalty or width == 1 else (1e-7, 0.0)
    theirs = [
        widened(
            export.decoder(
                export.load(tmp_path / "model"), WORDS, width=width, length_penalty=power
            )(source, HORIZON).action
        )
        for power in powers
    ]
    same, ended = (ours == theirs[0]).all(1), (theirs[0] == EOS).any(1)
    assert ended.float().mean() > 0.9
    assert same[ended].float().mean() >= 0.99
    assert (
        width == 1
        or (ours != widened(greedy(policy, source, HORIZON).action)).any(1).float().mean() > 0.2
    )
    longer = (theirs[-1] != ours).any(1) & (theirs[-1] == EOS).any(1) & same  # of its own rule at 0
    assert (log_prob(policy, source, theirs[-1]) > log_prob(policy, source, ours))[longer].all()


def widened(action: Tensor) -> Tensor:
    """Padded to the horizon."""
    return F.pad(action, (0, HORIZON - action.shape[1]))


def log_prob(policy: Transformer, source: Tensor, action: Tensor) -> Tensor:
    """The score ``[B]`` by teacher forcing."""
    log_probs = policy(source, shift(action)).log_softmax(-1)
    return log_probs.gather(2, action[:, :, None]).squeeze(2).where(action != PAD, 0.0).sum(1)


def test_eight_bits_change_little_and_take_less(tmp_path):
    policy, source = student(layers=2), sources(200)
    for name in ("float32", "int8"):
        export.export(policy, WORLD, tmp_path / name, name)
    ours = greedy(policy, source, HORIZON)
    theirs = export.decoder(export.load(tmp_path / "int8"), WORDS)(source, HORIZON)
    first = (ours.action[:, 0] == theirs.action[:, 0]).float().mean()
    by_chance = (ours.action[:, 0] == ours.action[:, 0].roll(1)).float().mean()
    assert first > (1 + 2 * by_chance) / 3, (
        "a CPU without 8-bit matmuls rounds coarsely, but not like this"
    )
    assert not torch.equal(ours.action[:, :3], theirs.action[:, :3])
    sizes = [(tmp_path / name / "model.bin").stat().st_size for name in ("int8", "float32")]
    assert sizes[0] < 0.8 * sizes[1]


def test_it_never_generates_what_our_decoders_never_generate(tmp_path):
    policy, source = student(layers=1), sources(50)
    policy.decoder_norm.bias.fill_(3.0)
    policy.target_embedding.weight[[PAD, BOS]] = 1.0  # their logits are far above all others
    assert set(policy(source, source[:, :1]).argmax(-1).unique().tolist()) <= {PAD, BOS}
    export.export(policy, WORLD, tmp_path / "model", "float32")
    theirs = export.decoder(export.load(tmp_path / "model"), WORDS)(source, HORIZON)
    assert torch.equal(greedy(policy, source, HORIZON).action, theirs.action)


def translated(folder: Path, raw: bytes) -> list[str]:
    """What the code in the note of ``folder``, run as it stands, prints for ``raw``."""
    (code,) = re.findall(
        r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    ran = subprocess.run([sys.executable, "-c", code], input=raw, capture_output=True, check=True)
    return ran.stdout.decode().removesuffix("\n").split("\n")


RAW = [  # lines that another preprocessing changes
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


def folder_of(folder: Path) -> Path:
    """``RAW`` in every split, on both sides; in training also one word, which fits every limit."""
    folder.mkdir()
    for split, more in (("train", ["ein"]), ("valid", []), ("test", [])):
        for side in ("de", "en"):
            (folder / f"{split}.{side}").write_text(
                "\n".join([*RAW, *more]) + "\n", encoding="utf-8"
            )
    return folder


@pytest.mark.parametrize(
    "limits",
    [{"source_limit": 100, "horizon": 100}, {"source_limit": 9, "horizon": 7}],
    ids=["whole", "cut"],
)
@pytest.mark.parametrize(
    ("module", "options"),
    [
        *(
            (parallel_text, {"lowercase": low, "unescape": un})
            for low in (False, True)
            for un in (False, True)
        ),
        *(
            (wmt16, {"lowercase": low, "unescape": low, "split_marks": True})
            for low in (False, True)
        ),
        (iwslt, {}),
        (multi30k, {}),
    ],
)
def test_the_notes_code_translates_raw_text_as_the_run_does(module, options, limits, tmp_path):
    data = folder_of(tmp_path / "data")
    task = module.load(data_dir=str(data), vocabulary=150, **options, **limits)
    policy = student(len(task.vocabulary), layers=1)
    export.export(policy, task, tmp_path / "model", "float32")
    source = task.splits["test"].source
    limit = task.limit(torch.tensor([*map(len, source)]))
    ours = greedy(policy, pad_sequence(list(map(torch.from_numpy, source)), True), limit)
    texts = [task.vocabulary.decode(row) for row in ours.action.tolist()]
    assert len(set(texts)) > len(RAW) // 2, "a student that always generates the same shows nothing"
    assert translated(tmp_path / "model", (data / "test.de").read_bytes()) == texts


@pytest.mark.parametrize("lowercase", [False, True])
def test_the_tokenizer_alone_lower_cases_as_the_run_did(lowercase, tmp_path):
    task = parallel_text.load(
        data_dir=str(folder_of(tmp_path / "data")), vocabulary=150, lowercase=lowercase
    )
    export.export(student(len(task.vocabulary), layers=1), task, tmp_path / "model", "float32")
    tokenizer = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json"))
    for text in RAW[:1] + RAW[6:7]:
        assert [*tokenizer.encode(text).ids, EOS] == task.splits["test"].source[
            RAW.index(text)
        ].tolist()


def test_the_note_takes_special_tokens_as_text_no_text_and_empty_lines(tmp_path):
    policy, texts = (
        student(layers=1),
        ["w1 w2 w3", "w1 </s> w2", "never seen", " ".join(["w7"] * 30)],
    )
    export.export(policy, WORLD, tmp_path / "model", "float32")
    ids = [torch.tensor([*WORDS.encode(text)[: LIMIT - 1], EOS]) for text in texts]
    ours = greedy(policy, pad_sequence(ids, batch_first=True), HORIZON)
    assert translated(tmp_path / "model", "\n".join(texts).encode()) == list(
        map(WORDS.decode, ours.action.tolist())
    )
    assert translated(tmp_path / "model", b"") == [""]
    first, empty, last = translated(tmp_path / "model", b"\xef\xbb\xbfw1 w2\n\nw1 w2\r\n")
    assert first == last != empty == ""


def test_a_second_export_takes_the_place_of_the_first(tmp_path):
    folder, policy, source = tmp_path / "model", student(layers=1), sources(20)
    export.export(policy, WORLD, folder, "int8")
    (folder / "thesis.tex").touch()
    export.export(policy, WORLD, folder, "float32")
    names = {
        "model.bin",
        "config.json",
        "shared_vocabulary.json",
        "tokenizer.json",
        "README.md",
        "thesis.tex",
    }
    assert {path.name for path in folder.iterdir()} == names
    assert torch.equal(
        greedy(policy, source, HORIZON).action,
        export.decoder(export.load(folder), WORDS)(source, HORIZON).action,
    )
    with pytest.raises(UserError, match="cannot write"):
        export.export(policy, WORLD, folder / "README.md" / "model", "int8")


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(
        UserError, match=f"^out={tmp_path} is not empty and holds no exported model"
    ):
        export.export(student(layers=1), WORLD, tmp_path, "float32")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_what_cannot_be_exported_is_said_in_a_line(tmp_path):
    recurrent = RNN(len(WORDS))
    for policy, quantization, message in (
        (recurrent, "int8", "runs transformers and has no RNN"),
        (student(), "int9", "unknown quantization 'int9'; did you mean 'int8'"),
        (
            student(),
            "float16",
            "quantization=float16: CTranslate2 has no such arithmetic on this CPU",
        ),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            export.export(policy, WORLD, tmp_path / "model", quantization)
    assert not list(tmp_path.iterdir())


RUN = [
    "env=Copy-v0",
    "env.train=300",
    "student.layers=1",
    "student.width=16",
    "student.heads=2",
    "student.ffn=16",
]
RUN += [
    "train.steps=20",
    "train.validations=1",
    "train.batch_tokens=64",
    "evaluate.rows=8",
    "evaluate.speed_rows=8",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, hardly trained."""
    folder = tmp_path_factory.mktemp("run") / "run"
    dagger.main(cli.read("dagger", [*RUN, f"out={folder}"]))
    return folder


def test_the_command_compares_the_model_with_the_run(run, tmp_path, capsys):
    script.main(cli.read("export", [f"run={run}", "rows=20", f"out={tmp_path / 'model'}"]))
    assert "CPU threads" in capsys.readouterr().err
    found = json.loads((tmp_path / "model" / "export.json").read_text())
    assert found["equal"] == found["settings"]["rows"] == 20
    assert found["scores"]["exported"] == found["scores"]["student"]
    assert [row["batch_size"] for row in found["speeds"]] == [1, 64]
    assert all(row["exported_tokens_per_second"] > 0 for row in found["speeds"])
    dagger.main(
        cli.read("dagger", [*RUN, f"out={run}", "resume=true"])
    )  # finished before: nothing gets lost
    assert [
        row["batch_size"]
        for row in json.loads((run / "results.json").read_text())["exported"]["float32"]
    ] == [1, 64]
    page = (run / "report.html").read_text()
    assert all(f"Exported in float32, greedy, batch {size}" in page for size in (1, 64))


def test_a_report_whose_texts_are_gone_stays_as_it_is(run, tmp_path):
    (texts,) = (run / "outputs").iterdir()
    hidden, before = texts.rename(tmp_path / "away"), (run / "report.html").read_bytes()
    try:
        script.main(
            cli.read(
                "export", [f"run={run}", "rows=4", "quantization=int8", f"out={tmp_path / 'model'}"]
            )
        )
        assert (tmp_path / "model" / "export.json").is_file()
        assert "int8" not in json.loads((run / "results.json").read_text()).get("exported", {})
        assert (run / "report.html").read_bytes() == before
    finally:
        hidden.rename(texts)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give run=RUN"),
        (["run=nowhere"], "no run folder at nowhere"),
        (["run=.", "format=onnx"], "unknown format 'onnx'"),
        (["run=.", "quantization=int9"], "unknown quantization 'int9'"),
    ],
)
def test_a_mistake_is_one_line(words, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        script.main(cli.read("export", words))
    assert "\n" not in str(error.value)


def test_a_run_that_lost_its_student_is_refused(run):
    best = run / "checkpoints" / "best.safetensors"
    hidden = best.rename(best.with_suffix(".away"))
    try:
        with pytest.raises(UserError, match="no checkpoint at"):
            script.main(cli.read("export", [f"run={run}"]))
    finally:
        hidden.rename(best)


def test_without_the_library_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.delitem(sys.modules, "agents.interop.ctranslate2")
    monkeypatch.delattr("agents.interop.ctranslate2")
    with pytest.raises(
        UserError, match=re.escape("ctranslate2 is not installed: python -m pip install")
    ):
        script.main(cli.read("export", ["run=."]))
