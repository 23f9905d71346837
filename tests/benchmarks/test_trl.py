"""Our side of the benchmark beside TRL; none of this needs TRL."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("transformers", reason="the extra hf is not installed")

from benchmarks.trl import masks, material, ours
from support.chat_templates import fast_tokenizer, save_chat_model

SIZES = material.Sizes(vocabulary=50, width=64, student=1, teacher=2)


def kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p ‖ q) of probabilities ``[N, V]``, in nats: ``[N]``."""
    return (p * (p / q).log()).sum(-1)


@torch.no_grad()
def distributions(name: str) -> torch.Tensor:
    """A model's next-token probabilities ``[N, V]``, row by row, without padding or a policy."""
    model = material.make_model(SIZES, name, sharpness=10).eval()
    rows = []
    for prompt, completion in ours.reference_rows(SIZES):
        logits = model(torch.cat([prompt, completion])[None]).logits[0, len(prompt) - 1 : -1]
        assert len(logits) == len(completion)
        rows.append(logits.double().softmax(-1))
    return torch.cat(rows)


def test_the_losses_are_those_of_the_definition_on_the_scale_of_trl():
    """Agarwal et al. 2024, section 2: β KL(p ‖ m) + (1 - β) KL(q ‖ m), and KLs at 0 and 1."""
    p, q = distributions("teacher"), distributions("student")
    expected = []
    for beta in material.BETAS.values():
        m = beta * p + (1 - beta) * q
        jsd = beta * kl(p, m) + (1 - beta) * kl(q, m)
        expected.append({0.0: kl(p, q), 1.0: kl(q, p)}.get(beta, jsd).mean().item())
    losses: list[float] = []
    ours.losses(SimpleNamespace(wait=lambda: None, give=losses.append), SIZES)
    assert losses == pytest.approx(expected, abs=1e-4)
    assert min(expected) > 0.1


def test_a_step_generates_queries_and_learns_with_checkpointing():
    answers: list[dict[str, float]] = []
    turns = SimpleNamespace(wait=lambda: None, give=answers.append)
    sizes = material.Sizes(vocabulary=20_000, width=64, student=1, teacher=1)
    ours.steps(turns, sizes, "float32", True, 1)
    (answer,) = answers
    assert min(answer.values()) > 0
    parts = answer["generation"] + answer["teacher"] + answer["gradient"]
    assert parts == pytest.approx(answer["step"], rel=0.05)


def test_learned_tokens_are_compared_turn_by_turn(tmp_path, monkeypatch):
    """On a template that marks its turns as TRL's training templates do."""
    monkeypatch.setattr(masks, "CHATS", masks.CHATS[:3])  # without those that merge with a prompt
    save_chat_model(tmp_path / "chatml", "chatml")
    theirs, chats = fast_tokenizer("chatml"), masks.conversations("chatml")
    rows = []
    for chat in chats:
        options = {"return_dict": True, "return_assistant_tokens_mask": True}
        output = theirs.apply_chat_template(chat, **options)
        pairs = zip(output["input_ids"], output["assistant_masks"], strict=True)
        rows.append([output["input_ids"], [token if mask else -100 for token, mask in pairs]])
    row = masks.table_row(tmp_path, "chatml, every turn", rows)
    turns = [message for chat in chats for message in chat if message["role"] == "assistant"]
    tokens = sum(label != -100 for _, labels in rows for label in labels)
    assert [cell.strip() for cell in row.split("|")[1:-1]][:3] == [
        "chatml, every turn",
        str(len(turns)),
        str(tokens),
    ]
    rows[0][1] = [*rows[0][1][:-1], rows[0][0][-1]]  # also the line end after EOS
    row = masks.table_row(tmp_path, "chatml, every turn", rows)
    assert r"'\n' × 1 | 0 |" in row
    assert "| other, every turn | refused by TRL: no such |" in masks.table_row(
        tmp_path, "other, every turn", "no such. Rest"
    )
