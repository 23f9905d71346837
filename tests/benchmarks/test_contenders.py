"""All contenders do the same work, and count it correctly."""

from __future__ import annotations

import multiprocessing
from types import SimpleNamespace

import pytest
import torch

from agents.losses.sequence import nll
from agents.policies.transformer import TransformerPolicy
from benchmarks.contenders import distilling, footprint, nn_transformer, ours, stepping
from benchmarks.material import MAX_LENGTH, SIZES, Setup, batches, sources, transformer
from textgen_env.types import EOS

SETUP = Setup(vocabulary=60, width=16, tokens=72, threads=1)
DECODE = {"size": "2+2", "amp": "float32", "rows": 3, "steps": 7, "count": 2}
DECODED_TOKENS = 3 * 7 * 2


def random_transformer() -> TransformerPolicy:
    """A transformer in evaluation mode, with larger random weights."""
    policy = transformer(SETUP, "2+2")
    weights = policy.state_dict().items()
    policy.load_state_dict({name: torch.randn_like(weight) * 0.3 for name, weight in weights})
    return policy.eval()


def training_tokens() -> int:
    return sum(batch.tokens for batch in batches(SETUP))


def test_nn_transformer_computes_the_same_function_as_ours():
    policy, batch = random_transformer(), batches(SETUP)[0]
    layers, ffn = SIZES["2+2"]
    model = nn_transformer.TorchTransformer(policy, layers, ffn * SETUP.width).eval()
    our_logits = policy(batch.source, batch.prefix, batch.mask)
    assert torch.allclose(our_logits, model(batch.source, batch.prefix, batch.mask), atol=1e-4)
    assert our_logits.std() > 0.1


def test_imitation_trains_on_the_same_states_with_the_same_loss():
    pytest.importorskip("imitation", reason="imitation is not installed (extra: imitation)")
    from benchmarks.contenders import imitation_bc

    policy, batch = random_transformer(), batches(SETUP)[0]
    minibatches = imitation_bc.transitions(batch)
    actions = torch.cat([minibatch["acts"] for minibatch in minibatches])
    assert len(actions) == batch.tokens
    assert torch.equal(actions, batch.target[batch.mask])
    student = imitation_bc.Student({"observation_space": None, "action_space": None}, policy)
    _, log_probs, _ = student.evaluate_actions(minibatches[0]["obs"], minibatches[0]["acts"])
    our_loss = nll(policy(batch.source, batch.prefix, batch.mask), batch.target[batch.mask])
    assert torch.isclose(-log_probs.mean(), our_loss)
    assert imitation_bc.Contender(SETUP).train("2+2", "float32").run() == len(actions)


@pytest.mark.parametrize("size", SIZES)
def test_the_hugging_face_model_has_the_same_number_of_parameters(size):
    pytest.importorskip("transformers", reason="transformers is not installed (extra: hf)")
    from benchmarks.contenders import huggingface

    our_count, their_count = (
        sum(weight.numel() for weight in model.parameters())
        for model in (transformer(SETUP, size), huggingface.Contender(SETUP).model(size))
    )
    positions = 2 * 1024 * SETUP.width  # a fixed table
    final_norms = 2 * 2 * SETUP.width  # only in ours
    assert our_count == their_count - positions + final_norms


def test_hugging_face_does_the_same_work():
    pytest.importorskip("transformers", reason="transformers is not installed (extra: hf)")
    from benchmarks.contenders import huggingface

    contender = huggingface.Contender(SETUP)
    assert contender.train("2+2", "float32").run() == training_tokens()
    for width in (1, 5):
        assert contender.decode(**DECODE, width=width).run() == DECODED_TOKENS


@pytest.mark.parametrize(("amp", "width"), [("float32", 1), ("float32", 5), ("int8", 1)])
def test_ctranslate2_does_the_same_work(amp, width):
    pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed (extra: export)")
    from benchmarks.contenders import ctranslate2

    contender = ctranslate2.Contender(SETUP)
    work = contender.decode(**DECODE | {"amp": amp}, width=width, workers=2)
    assert work.run() == DECODED_TOKENS


def test_ours_does_the_same_work():
    contender = ours.Contender(SETUP)
    assert contender.train("2+2", "float32").run() == training_tokens()
    for width in (1, 5):
        assert contender.decode(**DECODE, width=width).run() == DECODED_TOKENS
    assert contender.decode(**DECODE | {"size": "gru"}, width=1).run() == DECODED_TOKENS


def test_floating_point_operations_are_counted():
    contender = ours.Contender(SETUP)
    assert contender.matmul("float32").run() == 3 * 2 * ours.MATRIX_SIZE**3
    weights = sum(
        weight.numel()
        for name, weight in transformer(SETUP, "2+2").named_parameters()
        if weight.dim() == 2 and "source" not in name
    )
    # Per weight and token 2 forward and 4 backward, plus attention and padding.
    assert 6 * weights < contender.flops("2+2") < 12 * weights


def test_sentences_are_complete_and_of_similar_length():
    (source,) = sources(SETUP, 50, 1)
    length = (source != 0).sum(1)
    assert length.min() >= MAX_LENGTH - 6
    assert length.max() == source.shape[1] == MAX_LENGTH
    assert (source[torch.arange(50), length - 1] == EOS).all()
    assert ((source == EOS).sum(1) == 1).all()


def test_distillation_replaces_every_row_and_trains_on_as_many_tokens():
    contender = distilling.Contender(SETUP)
    rollout = contender.rolled_in("2+2", "float32")
    assert (rollout.length == MAX_LENGTH).all()
    assert not (rollout.target == contender.batch.target).all(1).any()
    policy = transformer(SETUP, "2+2")
    for name in ("imitkd", "imitkd_full"):
        algorithm = contender.algorithm(name, policy, "2+2")
        assert algorithm.loss(contender.batch, distilling.CLOCK).weight == rollout.tokens


def test_each_part_of_distillation_counts_one_step():
    contender = distilling.Contender(SETUP)
    names = ("mle", "imitkd", "imitkd_full")
    works = [contender.step("2+2", "2+2", name, "float32") for name in names]
    works.append(contender.roll_in("2+2", 5, "float32"))
    works.append(contender.query("2+2", "2+2", "action", "float32"))
    assert [work.run() for work in works] == [1] * 5


def test_environments_are_stepped_to_one_before_the_horizon():
    contender = stepping.Contender(SETUP)
    for work in (contender.single(), contender.vector(3)):
        for _ in range(2):
            work.before()
            assert work.run() == stepping.LIMIT - 1


def test_memory_includes_the_private_memory_of_workers(monkeypatch):
    sizes = {
        ("self", "status"): {"VmRSS": 1000, "VmHWM": 2000},
        ("7", "smaps_rollup"): {"Rss": 500, "Private_Clean": 10, "Private_Dirty": 20},
        ("8", "smaps_rollup"): {"Rss": 500, "Private_Clean": 100, "Private_Dirty": 200},
    }
    workers = [SimpleNamespace(pid=7), SimpleNamespace(pid=8)]
    monkeypatch.setattr(footprint, "read_proc", lambda *key: sizes[key])
    monkeypatch.setattr(multiprocessing, "active_children", lambda: workers)
    assert footprint.memory_in_use() == (1330, 2330)


def test_sizes_in_proc_are_read_in_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(footprint, "PROC", tmp_path)
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Name:\tpython\nVmHWM:\t   12 kB\nVmRSS:\t    3 kB\n")
    assert footprint.read_proc("7", "status") == {"VmHWM": 12 * 1024, "VmRSS": 3 * 1024}


def test_memory_is_recorded_at_every_step(tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path))
    overrides = ["env.corpus=bundled", "env.bundled_pairs=60", "env.vocabulary=300"]
    overrides += ["preset=quick", "train.steps=6", "train.batch_tokens=64"]
    overrides += [
        f"{model}.{key}"
        for model in ("student", "teacher")
        for key in ("layers=1", "width=16", "heads=2", "ffn=16")
    ]
    contender = footprint.Contender(SETUP)
    steps, resident, peak = contender.train([*overrides, "train.validation_rows=2"])
    assert steps == len(resident) == len(peak) == 6
    assert peak == sorted(peak)
    assert all(0 < now <= most for now, most in zip(resident, peak, strict=True))
