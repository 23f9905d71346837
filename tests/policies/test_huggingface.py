"""Other people's models as teachers: they keep a policy's contract, say what transformers says, and can be learned from."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils.rnn import pad_sequence

import cli
import dagger
from agents.evaluation.outputs import generate_texts
from agents.generation.beam import beam_search
from agents.generation.decoder import Decoder
from agents.generation.decoding import greedy
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.pretrained import load_pretrained, load_tokenizer
from agents.runs.machine import resolve_machine
from agents.runs.run import Run
from agents.runs.student import build_student
from agents.runs.task import build_task
from agents.runs.teacher import find_teacher
from agents.runs.training import build_algorithm
from support.policies import close, prefixes, sources
from support.policy_contract import *  # noqa: F403
from support.pretrained_models import FAMILIES, LINES, SMALL, copier
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.metrics.scores import corpus_score
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.types import BOS, EOS, PAD

KEYS = {  # family → how it is asked; together every branch of the prompt's layout
    "marian": {},
    "bart": {"source_prefix": "a man"},
    "t5": {"source_prefix": "the cat"},
    "gpt2": {"source_prefix": "cat:"},
    "llama": {"separator": "the dog"},
    "mpt": {"source_prefix": "cat:", "separator": ":"},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(0)
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in FAMILIES.items()}


@pytest.fixture(params=sorted(FAMILIES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def policies(folders: dict[str, Path]) -> dict[str, nn.Module]:
    return {name: load_pretrained(str(folder), **KEYS[name]) for name, folder in folders.items()}


@pytest.fixture
def policy(name: str, policies: dict[str, nn.Module]) -> nn.Module:
    return policies[name]


def encoded(policy: nn.Module, texts: list[str]) -> torch.Tensor:
    """``[B, S]``, as a task's batches are."""
    return pad_sequence(
        [torch.tensor([*ids, EOS]) for ids in policy.vocabulary.encode_many(texts)],
        batch_first=True,
    )


@torch.no_grad()
def test_a_batch_is_scored_as_transformers_scores_each_pair_alone(name, policy, folders):
    tokenizer, ids = (
        transformers.AutoTokenizer.from_pretrained(folders[name]),
        load_tokenizer(str(folders[name])).ids,
    )
    known = [token for token, theirs in enumerate(ids) if theirs is not None]
    targets = LINES[::-1]
    source, target = encoded(policy, LINES), encoded(policy, targets)
    logits = policy(
        source, torch.cat([torch.full_like(target[:, :1], BOS), target[:, :-1]], 1)
    )  # [B, T, V]
    for row, (text, answer) in enumerate(zip(LINES, targets, strict=True)):
        asked = {
            "marian": f"{text}",
            "bart": f"a man{text}",
            "t5": f"the cat {text}",
            "gpt2": f"cat:{text}<|endoftext|>",
            "llama": f"{text} the dog",
            "mpt": f"cat:{text}:",
        }[name]
        prompt, answer = (
            tokenizer(asked)["input_ids"],
            tokenizer(answer, add_special_tokens=False)["input_ids"],
        )
        if policy.has_encoder:
            labels = tokenizer(targets[row])["input_ids"]
            theirs = policy.model(torch.tensor([prompt]), labels=torch.tensor([labels])).logits[
                0, len(labels) - len(answer) - 1 :
            ]
        else:
            theirs = policy.model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 :]
        theirs = theirs[:, [ids[token] for token in known]].log_softmax(-1)  # [T, known]
        assert len(theirs) == len(answer) + 1
        close(logits[row, : len(theirs)].log_softmax(-1)[:, known], theirs)


DECODER = {
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "hidden_size": 16,
    "head_dim": 8,
}
DECODER |= {"intermediate_size": 24, "pad_token_id": 1, "eos_token_id": 2, "bos_token_id": 3}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (
            "marian",
            {**SMALL, "decoder_start_token_id": 2, "pad_token_id": 1, "eos_token_id": 2},
        ),  # a bias of its own
        (
            "t5",
            {
                "d_model": 16,
                "d_kv": 8,
                "d_ff": 24,
                "num_layers": 1,
                "num_heads": 2,
                "decoder_start_token_id": 0,
            },
        ),
        ("gemma2", {**DECODER, "final_logit_softcapping": 0.5}),
        ("cohere", {**DECODER, "logit_scale": 0.1}),
        ("granite", {**DECODER, "logits_scaling": 7.0}),
    ],
)
@torch.no_grad()
def test_head_gives_the_logits_of_the_model_from_the_features(kind, settings):
    """Scale, bias and cap behind the output layer included."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, vocab_size=40, **settings)
    auto = (
        transformers.AutoModelForSeq2SeqLM
        if config.is_encoder_decoder
        else transformers.AutoModelForCausalLM
    )
    model = auto.from_config(config).eval()
    if kind == "marian":
        model.final_logits_bias.normal_()
    policy = HuggingFacePolicy(
        model,
        Vocabulary.from_words([f"w{i}" for i in range(30)]),
        [None, None, *range(2, 34)],
        [],
        [2],
    )
    source, prefix = sources([5, 3], 5), prefixes(2, 6)
    state = policy.start(source, 6)
    tokens = torch.cat([state.prompt, policy.ids[prefix[:, 1:]]], 1)
    logits = policy.vocabulary_logits(model(**policy.model_inputs(tokens, state)).logits)[
        :, state.prompt.shape[1] - 1 :
    ]  # [B, T, V]
    features, mask = policy.features(source, prefix), torch.arange(6) < torch.tensor([[6], [2]])
    assert features.shape == (2, 6, policy.feature_width)
    close(policy.head(features), logits)
    close(policy.head(policy.features(source, prefix, mask)), logits[mask])


@torch.no_grad()
def test_beam_search_scores_what_teacher_forcing_gives(policy):
    source = encoded(policy, LINES)
    found = beam_search(policy, source, 10, width=4)
    prefix = torch.cat([torch.full_like(found.action[:, :1], BOS), found.action[:, :-1]], 1)
    token = (
        policy(source, prefix).log_softmax(-1).gather(2, found.action[:, :, None]).squeeze(2)
    )  # [B, T]
    close((token * (torch.arange(token.shape[1]) < found.length[:, None])).sum(1), found.score)
    assert (found.score >= greedy(policy, source, 10).score - 1e-4).float().mean() > 0.5


@pytest.fixture(scope="module")
def half_trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, torch.Tensor]:
    """A Marian that has half learned to copy, so that beams of different widths find different texts; and sources."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 9, (400,), generator=generator).tolist()
    texts = [
        " ".join(f"w{i}" for i in torch.randint(12, (n,), generator=generator)) for n in lengths
    ]
    policy = load_pretrained(str(copier(tmp_path_factory.mktemp("copier"), texts, steps=60)))
    return policy, encoded(policy, texts[:150])


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("width", [1, 4, 5])
@torch.no_grad()
def test_beam_search_finds_what_transformers_generates_with_early_stopping(
    width, length_penalty, half_trained
):
    """Where its hypothesis ended by EOS within the limit: it lets those cut there compete.

    transformers divides the score by the number of generated tokens, EOS included and the start token not, to the
    power of its length_penalty: our convention.
    """
    (policy, source), limit = half_trained, 10
    names = ("decoder_start_token_id", "eos_token_id", "pad_token_id")
    config = {name: getattr(policy.model.config, name) for name in names}
    config |= {"num_beams": width, "length_penalty": length_penalty, "max_new_tokens": limit}
    search = transformers.GenerationConfig(
        **config, early_stopping=width > 1, suppress_tokens=[config["pad_token_id"]]
    )
    given = {"attention_mask": (source != PAD).long(), "generation_config": search}
    theirs = policy.model.generate(policy.ids[source], **given)[:, 1:]  # without the start token
    ended = (theirs == config["eos_token_id"]).any(1)
    assert ended.float().mean() > 0.5

    found = beam_search(policy, source, limit, width, length_penalty)
    ours = [
        policy.ids[row[:length]].tolist()
        for row, length in zip(found.action, found.length, strict=True)
    ]
    theirs = [
        [token for token in row if token != config["pad_token_id"]] for row in theirs.tolist()
    ]
    same = [ours[row] == theirs[row] for row in ended.nonzero().squeeze(1)]
    assert sum(same) >= 0.99 * len(same)
    if width > 1:
        alone = greedy(policy, source, limit).action
        assert (
            sum(
                policy.ids[row[row != PAD]].tolist() != text
                for row, text in zip(alone, ours, strict=True)
            )
            > 10
        )


def test_it_is_an_oracle_over_tokens_that_mean_something(policy):
    oracle = PolicyOracle(policy, greedy, policy.vocabulary, policy.vocabulary)
    log_probs = oracle.log_probs(sources([5, 3], 5), prefixes(2, 6))
    assert log_probs.shape == (2, 6, len(policy.vocabulary))
    assert log_probs.dtype == torch.float32
    assert log_probs.isfinite().all()
    close(log_probs.logsumexp(-1), torch.zeros(2, 6))
    assert not log_probs[..., [PAD, BOS]].exp().any()
    assert not any(
        "extra_id" in token or token in ("<mask>", "<|endoftext|>")
        for token in policy.vocabulary.tokens
    )


@torch.no_grad()
def test_a_token_that_the_model_has_not_is_read_as_its_end(policy):
    source, prefix = sources([5, 3], 5), prefixes(2, 6)
    for stranger in policy.missing.tolist():
        changed, ended = prefix.clone(), prefix.clone()
        changed[:, 3], ended[:, 3] = stranger, EOS
        assert torch.equal(policy(source, changed), policy(source, ended))


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        ({}, [2, 0]),  # </s>, then <s> as its tokenizer puts before every text
        ({"forced_bos_token_id": 7}, [2, 7]),  # a target language
        ({"decoder_start_token_id": 0}, [0]),  # <s> once
    ],
    ids=str,
)
def test_what_the_decoder_has_read_before_the_first_action(settings, read, copy):
    folder = copy("bart")
    edit(folder / "generation_config.json", **settings)
    assert load_pretrained(str(folder)).before_target.tolist() == read


@torch.no_grad()
def test_padding_takes_no_positions(policy):
    source, prefix = sources([5, 3], 5), prefixes(2, 6)
    close(
        policy(torch.cat([source, torch.full((2, 200), PAD)], 1), prefix), policy(source, prefix)
    )  # of 128 positions


def test_a_task_longer_than_the_positions_of_the_teacher_is_refused(folders):
    policy = load_pretrained(
        str(folders["bart"]), source_prefix="a man"
    )  # the prefix: 2 tokens and <s>
    most, before = 128, len(policy.before_source)
    policy.check_limits(most - before, 128 - 1)
    for limits in (
        (most - before + 1, 20),
        (20, 128),
    ):  # the decoder is given its start token and <s> first
        with pytest.raises(UserError, match=r"128 positions but the task needs 129"):
            policy.check_limits(*limits)
    policy = load_pretrained(str(folders["gpt2"]))
    policy.check_limits(64, 65)  # the last action is no input
    with pytest.raises(UserError, match="needs 129"):
        policy.check_limits(65, 65)
    load_pretrained(str(folders["t5"])).check_limits(10_000, 10_000)


def test_a_student_learns_from_such_a_teacher_alone(task, tmp_path):
    """On its own prefixes only (β = 0) and with the teacher's labels only: no reference is ever a target."""
    teacher_folder = copier(tmp_path / "teacher", task.splits["train"].texts.sources, steps=300)
    words = [
        "env=Copy-v0",
        "env.symbols=5",
        "env.max_length=5",
        "env.horizon=8",
        "env.train=200",
        "env.valid=20",
        "env.test=20",
    ]
    words += [
        f"teacher.path=hf:{teacher_folder}",
        "algorithm=imitkd",
        "algorithm.beta=constant",
        "algorithm.rate=0",
    ]
    words += [
        "train.steps=300",
        "train.batch_tokens=256",
        "train.validations=1",
        "precision=float32",
    ]
    config = cli.read("dagger", words)
    on = resolve_machine(config)
    own = build_task(config)
    assert own.vocabulary.fingerprint != task.vocabulary.fingerprint
    assert sorted(own.vocabulary.tokens) == sorted(task.vocabulary.tokens)
    teacher = find_teacher(config, own, on)
    assert teacher.summary["architecture"] == "marian"
    student = build_student(config, own)
    algorithm = build_algorithm(config, own, student, teacher.oracle)
    dagger.distill(Run(tmp_path, config, on, own, teacher, student), algorithm)
    for decode in (teacher.decode, Decoder(student, 1, *on)):
        test = own.splits["test"]
        assert (
            corpus_score("accuracy", generate_texts(decode, own, test), test.texts.references)[
                "accuracy"
            ].value
            >= 90
        )
    assert build_student(cli.read("dagger", [*words, f"init={tmp_path}"]), own).vocabulary_size == 9


# What cannot serve: one line, exit code 2.


def refused(words: list[str], monkeypatch, capsys) -> str:
    """What a script says before it exits with 2."""
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_OFFLINE", True
    )  # the environment is read when it is imported
    monkeypatch.setattr(sys, "argv", ["dagger.py", "env=Copy-v0", "env.train=20", *words])
    with pytest.raises(SystemExit) as stop:
        cli.run(
            lambda config: find_teacher(config, build_task(config), resolve_machine(config)),
            "dagger",
        )
    assert stop.value.code == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    return said[0]


@pytest.fixture
def copy(folders, tmp_path):
    """A family's folder, to be spoiled."""
    return lambda family: Path(shutil.copytree(folders[family], tmp_path / family))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pickled_only(copy) -> Path:
    folder = copy("bart")
    torch.save(
        transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).state_dict(),
        folder / "pytorch_model.bin",
    )
    (folder / "model.safetensors").unlink()
    return folder


def remote_model(copy) -> Path:
    folder = copy("gpt2")
    (folder / "evil.py").write_text("raise SystemExit('remote code ran')\n")
    edit(
        folder / "config.json",
        auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
        model_type="evil",
    )
    return folder


def remote_tokenizer(copy) -> Path:
    folder = copy("gpt2")
    (folder / "evil.py").write_text("raise SystemExit('remote code ran')\n")
    edit(
        folder / "tokenizer_config.json",
        auto_map={"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]},
    )
    return folder


def not_causal(copy) -> Path:
    folder = copy("t5")
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    transformers.BertLMHeadModel(
        transformers.BertConfig(vocab_size=60, initializer_range=1.0, **sizes)
    ).save_pretrained(folder)
    return folder


def no_language_model(copy) -> Path:
    folder = copy("t5")
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    transformers.ViTModel(transformers.ViTConfig(**sizes)).save_pretrained(folder)
    return folder


def slow_tokenizer(copy) -> Path:
    folder = copy("t5")
    (folder / "tokenizer.json").unlink()
    transformers.ByT5Tokenizer().save_pretrained(folder)
    return folder


def larger_tokenizer(copy) -> Path:
    folder = copy("t5")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"word{i}" for i in range(20)])
    tokenizer.save_pretrained(folder)
    return folder


def other_end(copy) -> Path:
    folder = copy("gpt2")
    edit(folder / "generation_config.json", eos_token_id=[7, 8])
    return folder


def missing_weights(copy) -> Path:
    folder = copy("gpt2")
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.h.1.mlp.c_fc.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def cut_weights(copy) -> Path:
    folder = copy("gpt2")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:2000])
    return folder


def adapter(copy) -> Path:
    folder = copy("gpt2")
    (folder / "adapter_config.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (pickled_only, "it has no safetensors weights"),
        (remote_model, "config.json: auto_map: refers to custom code"),
        (remote_tokenizer, "tokenizer_config.json: auto_map: refers to custom code"),
        (not_causal, "a bert model cannot be a teacher"),
        (no_language_model, "config.json: model_type='vit' is not a supported text model"),
        (slow_tokenizer, "only a slow tokenizer (ByT5Tokenizer)"),
        (larger_tokenizer, "tokenizer and model do not match"),
        (other_end, "EOS is 0 in the tokenizer, [7, 8] in the model"),
        (missing_weights, "its weights lack transformer.h.1.mlp.c_fc.weight of GPT2LMHeadModel"),
        (cut_weights, "header"),
        (adapter, "it is an adapter"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_serve_is_refused_in_one_line(spoil, message, copy, monkeypatch, capsys):
    folder = spoil(copy)
    said = refused([f"teacher.path=hf:{folder}"], monkeypatch, capsys)
    assert f"teacher.path=hf:{folder}" in said
    assert message in said
    assert len(said) < 600


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["teacher.path=hf:"], "teacher.path=hf: names no model; write hf:NAME or hf:FOLDER"),
        (["teacher.path=hf:./nowhere"], "teacher.path=hf:./nowhere: no such folder"),
        (
            ["teacher.path=hf:nobody/nothing"],
            "teacher.path=hf:nobody/nothing: no folder of that name, and from the hub: ",
        ),
        (
            ["teacher.path=hf:{t5}", "teacher.separator=:"],
            "teacher.separator is only for decoder-only models",
        ),
        (["teacher.path=hf:{gpt2}", "env.horizon=200"], "lower env.source_limit or env.horizon"),
    ],
)
def test_a_wrong_key_is_refused_in_one_line(words, message, folders, monkeypatch, capsys):
    assert message in refused([word.format(**folders) for word in words], monkeypatch, capsys)


def test_text_arrives_as_it_was_written():
    words = [
        "teacher.path=hf:t5",
        "teacher.source_prefix=translate German to English: ",
        "teacher.separator=:",
    ]
    teacher = cli.read("dagger", words).teacher
    assert (teacher.source_prefix, teacher.separator) == ("translate German to English: ", ":")
    assert (
        cli.read("dagger", ["teacher.path=hf:gpt2", "teacher.separator=[SEP]"]).teacher.separator
        == "[SEP]"
    )


def test_without_transformers_it_says_how_to_install_it(folders, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "pip install -e '.[hf]'" in refused(
        [f"teacher.path=hf:{folders['gpt2']}"], monkeypatch, capsys
    )


def test_a_student_of_another_vocabulary_is_refused(folders, task):
    policy = load_pretrained(str(folders["gpt2"]))
    with pytest.raises(UserError, match="is not the student's"):
        PolicyOracle(policy, greedy, policy.vocabulary, task.vocabulary)
    task = task.with_vocabulary(policy.vocabulary)
    assert task.oracle is None
    assert [task.vocabulary.decode(row) for row in task.splits["valid"].target] == task.splits[
        "valid"
    ].texts.sources
