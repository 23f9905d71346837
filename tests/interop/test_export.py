"""An exported student generates the same tokens as the student."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from agents.generation.beam import beam_search
from agents.generation.decoding import greedy
from agents.policies.rnn import RNNPolicy
from agents.policies.transformer import TransformerPolicy
from support.exports import HORIZON, TASK, WORDS, random_sources, random_student
from textgen_env.errors import UserError
from textgen_env.types import BOS, EOS, PAD, shift

pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed (extra: export)")
from agents.interop import ctranslate2 as export

SHAPES = {
    "one embedding, more decoder layers": {
        **{"layers": 1, "decoder_layers": 2, "share_source_embedding": True}
    },
    "two embeddings, more encoder layers": {"layers": 2, "decoder_layers": 1},
}


def exported(policy, folder, quantization="float32", **options):
    """A decoder that runs the exported ``policy``."""
    export.export_model(policy, TASK, folder, quantization)
    return export.translator_decoder(export.load_translator(folder), WORDS, **options)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_exported_greedy_decoding_equals_ours(shape, tmp_path):
    policy, source = random_student(**shape), random_sources(500)
    decode = exported(policy, tmp_path / "model")
    ours, theirs = greedy(policy, source, HORIZON), decode(source, HORIZON)
    assert torch.equal(ours.action, theirs.action)
    assert torch.equal(ours.length, theirs.length)
    ended = (ours.action == EOS).any(1)
    assert 0.01 < ended.float().mean() < 0.99, "some outputs end by EOS and some at the limit"
    assert len(ours.action.unique(dim=0)) > 200, "the outputs are varied"
    limit = 1 + torch.arange(500) % HORIZON
    assert torch.equal(greedy(policy, source, limit).action, decode(source, limit).action)


def test_a_beam_search_with_different_limits_raises(tmp_path):
    decode = exported(random_student(layers=1), tmp_path / "model", width=2)
    with pytest.raises(ValueError, match="one limit for all rows"):
        decode(random_sources(2), torch.tensor([3, 4]))


@pytest.fixture(scope="module")
def half_trained() -> TransformerPolicy:
    """A student that has partly learned to copy, so beam search and greedy decoding differ."""
    policy = TransformerPolicy(len(WORDS), layers=1, width=32, heads=4, ffn=32)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.005)
    for batch in random_sources(150 * 64).split(64):
        logits = policy(batch, shift(batch))
        F.cross_entropy(logits.flatten(0, 1), batch.flatten(), ignore_index=PAD).backward()
        optimizer.step()
        optimizer.zero_grad()
    return policy.eval().requires_grad_(False)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("width", [1, 4, 5])
def test_exported_beam_search_equals_ours(width, length_penalty, half_trained, tmp_path):
    """On sentences that CTranslate2 ends by EOS; it lets truncated hypotheses compete.

    With a length penalty of exactly 0 it stops only when the best candidate of a step ends, and may
    find a hypothesis with a higher score. A penalty of 1e-7 changes no ranking but makes it stop as
    soon as K hypotheses have ended, as ours does.
    """
    source = random_sources(300)
    ours = padded(beam_search(half_trained, source, HORIZON, width, length_penalty).action)
    penalties = (length_penalty,) if length_penalty or width == 1 else (1e-7, 0.0)
    theirs = []
    for penalty in penalties:
        folder, options = tmp_path / f"{penalty}", {"width": width, "length_penalty": penalty}
        decode = exported(half_trained, folder, **options)
        theirs.append(padded(decode(source, HORIZON).action))
    same, ended = (ours == theirs[0]).all(1), (theirs[0] == EOS).any(1)
    assert ended.float().mean() > 0.9
    assert same[ended].float().mean() >= 0.99
    if width > 1:
        greedy_action = padded(greedy(half_trained, source, HORIZON).action)
        assert (ours != greedy_action).any(1).float().mean() > 0.2
    better = (theirs[-1] != ours).any(1) & (theirs[-1] == EOS).any(1) & same
    our_score, their_score = (log_prob(half_trained, source, row) for row in (ours, theirs[-1]))
    assert (their_score > our_score)[better].all()


def padded(action: Tensor) -> Tensor:
    """Padded to the horizon."""
    return F.pad(action, (0, HORIZON - action.shape[1]))


def log_prob(policy: TransformerPolicy, source: Tensor, action: Tensor) -> Tensor:
    """The log-probability ``[B]`` of ``action``, by teacher forcing."""
    log_probs = policy(source, shift(action)).log_softmax(-1)
    return log_probs.gather(2, action[:, :, None]).squeeze(2).where(action != PAD, 0.0).sum(1)


def test_int8_is_smaller_and_mostly_agrees(tmp_path):
    policy, source = random_student(layers=2), random_sources(200)
    ours = greedy(policy, source, HORIZON).action
    theirs = exported(policy, tmp_path / "int8", "int8")(source, HORIZON).action
    agreement = (ours[:, 0] == theirs[:, 0]).float().mean()
    by_chance = (ours[:, 0] == ours[:, 0].roll(1)).float().mean()
    assert agreement > (1 + 2 * by_chance) / 3  # a CPU without 8-bit matmuls rounds coarsely
    assert not torch.equal(ours[:, :3], theirs[:, :3])
    exported(policy, tmp_path / "float32")
    sizes = [(tmp_path / name / "model.bin").stat().st_size for name in ("int8", "float32")]
    assert sizes[0] < 0.8 * sizes[1]


def test_the_exported_student_never_generates_pad_or_bos(tmp_path):
    policy, source = random_student(layers=1), random_sources(50)
    policy.decoder_norm.bias.fill_(3.0)
    policy.target_embedding.weight[[PAD, BOS]] = 1.0  # their logits are far above all others
    assert set(policy(source, source[:, :1]).argmax(-1).unique().tolist()) <= {PAD, BOS}
    theirs = exported(policy, tmp_path / "model")(source, HORIZON)
    assert torch.equal(greedy(policy, source, HORIZON).action, theirs.action)


def test_a_second_export_replaces_the_first_and_keeps_other_files(tmp_path):
    folder, policy, source = tmp_path / "model", random_student(layers=1), random_sources(20)
    exported(policy, folder, "int8")
    (folder / "thesis.tex").touch()
    decode = exported(policy, folder, "float32")
    names = {"model.bin", "config.json", "shared_vocabulary.json", "tokenizer.json"}
    assert {path.name for path in folder.iterdir()} == {*names, "README.md", "thesis.tex"}
    assert torch.equal(greedy(policy, source, HORIZON).action, decode(source, HORIZON).action)


def test_an_unwritable_folder_raises(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        exported(random_student(layers=1), tmp_path / "file" / "model")


def test_a_folder_with_other_contents_raises_and_stays_unchanged(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    message = f"^out={tmp_path} is not empty and is not an exported model"
    with pytest.raises(UserError, match=message):
        exported(random_student(layers=1), tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("make_policy", "quantization", "message"),
    [
        (lambda: RNNPolicy(len(WORDS)), "int8", "CTranslate2 does not support RNNPolicy"),
        (random_student, "int9", "unknown quantization 'int9'; did you mean 'int8'"),
        (random_student, "float16", "quantization=float16: CTranslate2 does not support it"),
    ],
)
def test_an_unsupported_export_raises_before_writing(make_policy, quantization, message, tmp_path):
    with pytest.raises(UserError, match=re.escape(message)):
        exported(make_policy(), tmp_path / "model", quantization)
    assert not list(tmp_path.iterdir())
