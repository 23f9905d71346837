"""Other people's trainers, unmodified: they see our policies' distributions and teach them; their BC loss is ours."""

import json
import sys

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

import interop as command
from agents.algorithms import Clock
from agents.algorithms.bc import BC
from agents.generation.rollout import rollout
from agents.interop import TRAINERS, Settings, sb3, trainer
from agents.model import load_policy
from agents.policies.transformer import Transformer
from agents.runs.task import build_task
from cli import read
from schema import keys
from textgen_env.data.batching import Batches
from textgen_env.envs import dynamics
from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.simulator import action_mask
from textgen_env.envs.wrappers import FlatObservation
from textgen_env.errors import UserError
from textgen_env.tasks import copy
from textgen_env.tasks.task import expert
from textgen_env.types import BOS, EOS, PAD, shift

NEEDS = {
    "sb3_maskable_ppo": "sb3_contrib",
    "imitation_bc": "imitation",
    "imitation_dagger": "imitation",
}
SETTINGS = Settings(
    steps=6000, lr=1e-3, epochs=8, batch=128, envs=64, gamma=0.0, reward="zero_one", seed=0, device="cpu"
)  # fmt: skip
OWN = {  # what teaches each of them enough in seconds
    "sb3_a2c": {"envs": 32, "batch": 32, "steps": 20_000},
    "imitation_bc": {"steps": 1000},
    "imitation_dagger": {"steps": 300, "envs": 8, "batch": 32},
}

ENOUGH = (
    0.3  # agreement with the expert; a policy that always generates the same token has at most 0.25
)


@pytest.fixture(scope="module")
def task():
    return copy.load(symbols=5, max_length=4, horizon=6, train=300, valid=10, test=40)


def student(task, dropout=0.0):
    torch.manual_seed(0)
    return Transformer(len(task.vocabulary), layers=1, width=32, heads=2, ffn=64, dropout=dropout)


def agreement(policy, task):
    """The share of its greedy tokens on the test split that are the expert's; chance: one in V."""
    batch = Batches(task.splits["test"], 10**4, 0, task.limit).at(0)
    episodes = rollout(policy, batch.source, task.horizon)
    mask = torch.arange(episodes.action.shape[1]) < episodes.length[:, None]
    right = expert(task).action(batch.source, shift(episodes.action), mask)
    return (episodes.action[mask] == right).float().mean().item()


def walk(task, flat, seed):
    """Observations ``[N, …]`` along an episode of any tokens, its end included, and our own logits at each of them."""
    env = TextGenEnv(task)
    generator, (observation, _), seen = np.random.default_rng(seed), env.reset(seed=seed), []
    for action in generator.choice([PAD, BOS, 4, 5, 6], task.horizon):
        seen.append(observation)
        observation, *_ = env.step(action)
    seen.append(observation)
    parts = {name: np.stack([each[name] for each in seen]) for name in seen[0]}
    return FlatObservation.flatten(parts) if flat else parts, dynamics.EnvState(**parts)


def theirs(kind, task, policy, flat=False):
    env = TextGenEnv(task)
    space = FlatObservation.flat_space(env.observation_space) if flat else env.observation_space
    return kind(space, env.action_space, lambda _: 1e-3, **sb3.around(policy))


@pytest.mark.parametrize("flat", [False, True])
def test_their_distribution_is_ours_at_every_state(task, flat):
    own = student(task)
    wrapped = theirs(sb3.TextPolicy, task, own, flat)
    observation, state = walk(task, flat, seed=3)
    tensors, _ = wrapped.obs_to_tensor(observation)
    logits = wrapped.get_distribution(tensors).distribution.logits  # [N, V]
    for row in range(len(logits)):  # each alone and uncut
        one = dynamics.EnvState(*(part[row : row + 1] for part in state))
        source, prefix, mask = map(torch.from_numpy, dynamics.oracle_inputs(one))
        torch.testing.assert_close(
            logits[row], own(source, prefix, mask)[0].log_softmax(-1), rtol=1e-4, atol=1e-5
        )


def test_there_is_nothing_between_us_and_them_but_a_value(task):
    """No one-hot, no layer, no second copy: the student's weights and a linear value; its gradient stays with it."""
    own = student(task)
    wrapped = theirs(sb3.TextPolicy, task, own)
    count = sum(weight.numel() for weight in own.parameters())
    assert sum(weight.numel() for weight in wrapped.parameters()) == count + own.feature_width + 1
    tensors, _ = wrapped.obs_to_tensor(walk(task, False, seed=1)[0])
    wrapped.predict_values(tensors).sum().backward()
    assert all(weight.grad is None for weight in own.parameters())
    assert wrapped.value_net.weight.grad.abs().sum() > 0
    managed = {id(weight) for group in wrapped.optimizer.param_groups for weight in group["params"]}
    assert managed == {id(weight) for weight in wrapped.parameters()}


def test_their_mask_forbids_and_the_rest_keeps_its_odds(task):
    pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed (extra: contrib)")
    from agents.interop.contrib import ActionMasks, MaskableTextPolicy

    own = student(task)
    tensors, _ = theirs(MaskableTextPolicy, task, own).obs_to_tensor(walk(task, False, seed=2)[0])
    envs = sb3.vector_env(2, task, ActionMasks, action_mask=True)
    envs.reset()
    masks = envs.env_method("action_masks")
    assert np.flatnonzero(~masks[0]).tolist() == [PAD, BOS]
    policy = theirs(MaskableTextPolicy, task, own)
    rows = len(tensors["prefix"])
    free, masked = (
        policy.get_distribution(tensors, m).distribution.probs
        for m in (None, np.stack([masks[0]] * rows))
    )
    assert masked[:, [PAD, BOS]].max() == 0
    odds = free.index_fill(1, torch.tensor([PAD, BOS]), 0.0)
    torch.testing.assert_close(masked, odds / odds.sum(1, keepdim=True))


def test_their_mask_takes_a_vocabulary_of_thousands():
    pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed (extra: contrib)")
    from agents.interop.contrib import MaskableTextPolicy

    big = copy.load(symbols=20_000, max_length=4, horizon=6, train=20, valid=1, test=1)
    policy = theirs(MaskableTextPolicy, big, student(big))
    tensors, _ = policy.obs_to_tensor(walk(big, False, seed=4)[0])
    masks, eos = (
        np.stack([action_mask(big)] * (big.horizon + 1)),
        torch.full((big.horizon + 1,), EOS),
    )
    for _ in range(10):
        with torch.no_grad():
            assert policy.evaluate_actions(tensors, eos, masks)[1].isfinite().all()
            policy.features_extractor.policy.target_embedding.weight *= 1.2  # ever surer of itself


@pytest.mark.parametrize("name", TRAINERS)
def test_each_of_them_teaches_our_student(name, task):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    own, oracle = student(task), expert(task)
    before = agreement(own, task)
    settings = SETTINGS._replace(**OWN.get(name, {}))
    assert trainer(name)(own, task, oracle, settings) >= settings.steps
    after = agreement(own, task)
    assert before < 0.2 < ENOUGH < after, (before, after)


def test_a_policy_comes_back_from_their_own_files(task, tmp_path):
    env = TextGenEnv(task)
    model = PPO(
        sb3.TextPolicy,
        env,
        n_steps=16,
        batch_size=16,
        n_epochs=1,
        policy_kwargs=sb3.around(student(task)),
        device="cpu",
    )
    model.learn(16)
    model.save(tmp_path / "model")
    observation, _ = walk(task, False, seed=5)
    again = PPO.load(tmp_path / "model", device="cpu")
    left, right = (
        each.policy.get_distribution(each.policy.obs_to_tensor(observation)[0])
        for each in (model, again)
    )
    assert torch.equal(left.distribution.logits, right.distribution.logits)


def test_they_learn_from_the_policy_that_acted_which_is_without_dropout(task):
    env = TextGenEnv(task)
    kwargs = sb3.around(student(task, dropout=0.3))
    model = PPO(
        sb3.TextPolicy,
        env,
        n_steps=16,
        batch_size=16,
        n_epochs=1,
        learning_rate=1e-12,
        policy_kwargs=kwargs,
        device="cpu",
    )
    model.learn(16)
    assert abs(model.logger.name_to_value["train/approx_kl"]) < 1e-6


def test_their_cloning_loss_and_its_gradient_are_ours(task):
    bc = pytest.importorskip(
        "imitation.algorithms.bc", reason="imitation is not installed (extra: imitation)"
    )
    batch = Batches(task.splits["train"], 400, 0, task.limit).at(0)
    own, twin = student(task), student(task)
    ours = BC(own).loss(batch, Clock(seed=0, step=0, steps=1)).mean
    row, step = batch.mask.nonzero(
        as_tuple=True
    )  # [N] each: one of their transitions is one action of ours
    prefix = torch.full((len(row), task.horizon), PAD)
    prefix[:, : batch.target.shape[1]] = batch.target[row].masked_fill(
        torch.arange(batch.target.shape[1]) >= step[:, None], PAD
    )
    source = torch.full((len(row), task.source_limit), PAD)
    source[:, : batch.source.shape[1]] = batch.source[row][:, : task.source_limit]
    lengths = (source != PAD).sum(1, keepdim=True)
    parts = {
        "source": source,
        "source_length": lengths,
        "prefix": prefix,
        "prefix_length": step[:, None],
    }
    observations = torch.from_numpy(
        FlatObservation.flatten({name: part.numpy() for name, part in parts.items()})
    )
    calculator = bc.BehaviorCloningLossCalculator(ent_weight=0.0, l2_weight=0.0)
    found = calculator(
        theirs(sb3.TextPolicy, task, twin, flat=True), observations, batch.target[row, step]
    ).loss
    torch.testing.assert_close(found, ours, rtol=1e-5, atol=0)
    ours.backward()
    found.backward()
    for here, there in zip(own.parameters(), twin.parameters(), strict=True):
        assert (here.grad - there.grad).norm() <= 1e-5 * here.grad.norm()


def words(out, *more):
    tiny = [
        "env.symbols=5",
        "env.max_length=4",
        "env.horizon=6",
        "env.train=100",
        "env.valid=5",
        "env.test=20",
    ]
    return [
        "env=Copy-v0",
        *tiny,
        "student.width=16",
        "student.heads=2",
        "device=cpu",
        f"out={out}",
        *more,
    ]


def test_the_command_leaves_a_student_that_ours_can_read(task, tmp_path, capsys):
    settings = ["trainer=sb3_ppo", "steps=64", "batch=32", "envs=8", "epochs=1"]
    config = read("interop", words(tmp_path / "one", *settings))
    command.main(config)
    said = capsys.readouterr().err
    assert "accuracy" in said
    assert "CPU threads" in said
    results = json.loads((tmp_path / "one" / "results.json").read_text())
    assert results["steps"] >= 64
    assert results["scores"].keys() == {"before", "after"}
    policy, header = load_policy(tmp_path / "one", build_task(config).vocabulary)
    command.main(read("interop", words(tmp_path / "two", *settings, f"init={tmp_path / 'one'}")))
    after, _ = load_policy(tmp_path / "two", build_task(config).vocabulary)
    before = results["scores"]["after"]
    assert json.loads((tmp_path / "two" / "results.json").read_text())["scores"]["before"] == before
    assert header["architecture"]["settings"]["width"] == policy.width == after.width == 16
    with pytest.raises(UserError, match="two is not empty: choose another out="):
        command.main(read("interop", words(tmp_path / "two", *settings)))
    with pytest.raises(
        UserError, match=r"one holds a different student; to use it, add student\.layers=1"
    ):
        command.main(
            read(
                "interop",
                words(
                    tmp_path / "three", *settings, f"init={tmp_path / 'one'}", "student.layers=2"
                ),
            )
        )
    assert not (tmp_path / "three").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("trainer=sb3_pop", "unknown trainer 'sb3_pop'; did you mean 'sb3_ppo'?"),
        ("envs=0", "envs=0: a number of at least 1"),
        ("steps=20", "steps=20 batch=128: fewer steps than one gradient step needs"),
        ("trainer=sb3_ppo gamma=2", "gamma=2.0: a number of at least 0 and at most 1 expected"),
        (
            "gamma=0.5",
            "gamma=0.5: trainer=imitation_dagger learns from the expert, not from rewards",
        ),
        ("trainer=sb3_ppo init=nowhere", "no run folder at nowhere"),
        ("trainer=sb3_ppo reward=blue", "unknown reward 'blue'; did you mean 'bleu'?"),
    ],
)
def test_a_mistake_is_one_line(word, message, tmp_path):
    with pytest.raises(UserError) as error:
        command.main(read("interop", words(tmp_path / "out", *word.split())))
    assert str(error.value).startswith(message)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_said_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    for out in ("file", "file/folder"):
        with pytest.raises(UserError, match=f"^out=.*{out}: .*; name a folder that can be written"):
            command.main(read("interop", words(tmp_path / out, "trainer=sb3_ppo")))


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("imitation_bc", "imitation", "imitation"), ("sb3_maskable_ppo", "sb3_contrib", "contrib")],
)
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    name, module, extra, tmp_path, monkeypatch
):
    for loaded in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"agents.interop.{extra}", raising=False)
    with pytest.raises(
        UserError,
        match=rf"trainer={name} needs {module}, which is not installed: .*'\.\[{extra}\]'",
    ):
        command.main(read("interop", words(tmp_path / "out", f"trainer={name}")))
    assert not (tmp_path / "out").exists()


def test_every_trainer_is_named_in_the_help():
    assert set(TRAINERS) == set(keys("interop", {})["trainer"].meaning.split(", "))
