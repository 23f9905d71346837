"""Models with one tokenizer whose heads are padded to different multiples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from agents.algorithms.base import Clock
from agents.discovery import find_algorithm
from agents.generation.beam import beam_search
from agents.policies.pretrained import load_pretrained
from support.pretrained_models import FAMILIES
from textgen_env.data.batching import Batches
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks import copy

MULTIPLES = {"teacher": 64, "student": 96}
FORMS = ("plain", "padded")


@pytest.fixture(scope="module", params=["gpt2", "t5"])
def models(request, tmp_path_factory) -> dict[str, dict[str, Path]]:
    """A teacher and a student, as they are and with padded heads whose padding is likely."""
    torch.manual_seed(0)
    plain = FAMILIES[request.param](tmp_path_factory.mktemp("plain"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(plain)
    encoder = transformers.AutoConfig.from_pretrained(plain).is_encoder_decoder
    kind = transformers.AutoModelForSeq2SeqLM if encoder else transformers.AutoModelForCausalLM
    folders: dict[str, dict[str, Path]] = {}
    for who, multiple in MULTIPLES.items():
        model = kind.from_pretrained(plain)
        size = model.get_output_embeddings().weight.shape[0]
        folders[who] = {form: tmp_path_factory.mktemp(f"{who}-{form}") for form in FORMS}
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.1)
            model.save_pretrained(folders[who]["plain"])
            model.resize_token_embeddings(pad_to_multiple_of=multiple, mean_resizing=False)
            model.get_output_embeddings().weight[size:] += 3.0
        assert model.get_output_embeddings().weight.shape[0] % multiple == 0
        model.save_pretrained(folders[who]["padded"])
        for folder in folders[who].values():
            tokenizer.save_pretrained(folder)
    return folders


@pytest.mark.parametrize("name", ["imitkd_full", "word_kd", "gkd"])
def test_losses_equal_those_of_unpadded_heads(name, models):
    texts = copy.load(symbols=5, max_length=4, horizon=6, train=8, valid=4, test=4)
    losses, sizes = [], set()
    for form in FORMS:
        teacher, student = (load_pretrained(str(models[who][form])) for who in MULTIPLES)
        sizes |= {p.model.get_output_embeddings().weight.shape[0] for p in (teacher, student)}
        task = texts.with_vocabulary(student.vocabulary)
        oracle = PolicyOracle(teacher, beam_search, teacher.vocabulary, task.vocabulary)
        algorithm = find_algorithm(name)(policy=student, oracle=oracle)
        batch = Batches(task.splits["train"], 200, 0, task.limit).at(0)
        loss = next(iter(algorithm.updates([batch], Clock(0, 0, 10))))
        losses.append(loss.sum / loss.weight)
    assert len(sizes) == 3
    torch.testing.assert_close(*losses)
