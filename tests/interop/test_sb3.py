"""Policies of Stable-Baselines3, sb3-contrib and imitation that wrap ours: equal distributions."""

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.algorithms import Clock
from agents.algorithms.bc import BC
from agents.interop import sb3
from agents.interop.vec_env import TextVecEnv
from support.trainers import copy_task, episode, sb3_policy, small_student
from textgen_env.data.batching import Batches
from textgen_env.envs import dynamics
from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.simulator import action_mask
from textgen_env.envs.wrappers import FlatObservation
from textgen_env.tasks import copy
from textgen_env.types import BOS, EOS, PAD


@pytest.fixture(scope="module")
def task():
    return copy_task()


@pytest.mark.parametrize("flat", [False, True])
def test_the_wrapped_distribution_equals_the_students_at_every_state(task, flat):
    student = small_student(task)
    wrapped = sb3_policy(sb3.TextPolicy, task, student, flat)
    observation, state = episode(task, flat, seed=3)
    tensors, _ = wrapped.obs_to_tensor(observation)
    logits = wrapped.get_distribution(tensors).distribution.logits  # [N, V]
    for row in range(len(logits)):
        single = dynamics.EnvState(*(part[row : row + 1] for part in state))
        source, prefix, mask = map(torch.from_numpy, dynamics.oracle_inputs(single))
        log_probs = student(source, prefix, mask)[0].log_softmax(-1)
        torch.testing.assert_close(logits[row], log_probs, rtol=1e-4, atol=1e-5)


def test_the_wrapper_adds_a_linear_value_function_and_nothing_else(task):
    student = small_student(task)
    wrapped = sb3_policy(sb3.TextPolicy, task, student)
    count = sum(weight.numel() for weight in student.parameters())
    assert sum(weight.numel() for weight in wrapped.parameters()) == (
        count + student.feature_width + 1
    )
    managed = {id(weight) for group in wrapped.optimizer.param_groups for weight in group["params"]}
    assert managed == {id(weight) for weight in wrapped.parameters()}


def test_the_gradient_of_the_value_does_not_reach_the_student(task):
    student = small_student(task)
    wrapped = sb3_policy(sb3.TextPolicy, task, student)
    tensors, _ = wrapped.obs_to_tensor(episode(task, False, seed=1)[0])
    wrapped.predict_values(tensors).sum().backward()
    assert all(weight.grad is None for weight in student.parameters())
    assert wrapped.value_net.weight.grad.abs().sum() > 0


def test_masked_probabilities_are_renormalized(task):
    pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed (extra: contrib)")
    from agents.interop.contrib import MaskableTextPolicy

    envs = TextVecEnv(task, 2)
    envs.reset()
    mask, _ = envs.env_method("action_masks")
    assert np.flatnonzero(~mask).tolist() == [PAD, BOS]
    policy = sb3_policy(MaskableTextPolicy, task, small_student(task))
    tensors, _ = policy.obs_to_tensor(episode(task, False, seed=2)[0])
    masks = np.stack([mask] * len(tensors["prefix"]))
    free, masked = (
        policy.get_distribution(tensors, action_masks).distribution.probs
        for action_masks in (None, masks)
    )
    assert masked[:, [PAD, BOS]].max() == 0
    allowed_probs = free.index_fill(1, torch.tensor([PAD, BOS]), 0.0)
    torch.testing.assert_close(masked, allowed_probs / allowed_probs.sum(1, keepdim=True))


def test_a_mask_works_with_a_large_vocabulary_and_a_peaked_policy():
    pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed (extra: contrib)")
    from agents.interop.contrib import MaskableTextPolicy

    task = copy.load(symbols=20_000, max_length=4, horizon=6, train=20, valid=1, test=1)
    policy = sb3_policy(MaskableTextPolicy, task, small_student(task))
    tensors, _ = policy.obs_to_tensor(episode(task, False, seed=4)[0])
    states = task.horizon + 1
    masks, eos = np.stack([action_mask(task)] * states), torch.full((states,), EOS)
    with torch.no_grad():
        for _ in range(10):
            assert policy.evaluate_actions(tensors, eos, masks)[1].isfinite().all()
            policy.features_extractor.policy.target_embedding.weight *= 1.2


@pytest.mark.parametrize("flat", [False, True])
def test_the_vector_environment_has_the_episodes_of_single_ones(task, flat):
    def single():
        return FlatObservation(TextGenEnv(task)) if flat else TextGenEnv(task)

    pair = TextVecEnv(task, 3, flat), DummyVecEnv([single] * 3)
    for envs in pair:
        envs.seed(5)
    np.testing.assert_equal(*(envs.reset() for envs in pair))
    generator, ends = np.random.default_rng(0), 0
    for _ in range(3 * task.horizon):
        actions = generator.integers(3, len(task.vocabulary), size=3)
        ours, theirs = (envs.step(actions) for envs in pair)
        np.testing.assert_equal(ours[:3], theirs[:3])
        for our, their in zip(ours[3], theirs[3], strict=True):
            ends += "terminal_observation" in our
            np.testing.assert_equal(our, {key: their[key] for key in our})
            assert our.keys() == their.keys() & {"terminal_observation", "TimeLimit.truncated"} or (
                not our
            )
    assert ends >= 6


def ppo(task, student, **options):
    options = {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "device": "cpu"} | options
    kwargs = sb3.policy_kwargs(student)
    return PPO(sb3.TextPolicy, TextGenEnv(task), policy_kwargs=kwargs, **options)


def test_a_model_round_trips_through_stable_baselines3_files(task, tmp_path):
    model = ppo(task, small_student(task))
    model.learn(16)
    model.save(tmp_path / "model")
    observation, _ = episode(task, False, seed=5)
    before, after = (
        saved.policy.get_distribution(saved.policy.obs_to_tensor(observation)[0])
        for saved in (model, PPO.load(tmp_path / "model", device="cpu"))
    )
    assert torch.equal(before.distribution.logits, after.distribution.logits)


def test_ppo_updates_without_dropout_as_it_sampled(task):
    model = ppo(task, small_student(task, dropout=0.3), learning_rate=1e-12)
    model.learn(16)
    assert abs(model.logger.name_to_value["train/approx_kl"]) < 1e-6


def test_the_bc_loss_of_imitation_and_its_gradient_equal_ours(task):
    bc = pytest.importorskip(
        "imitation.algorithms.bc", reason="imitation is not installed (extra: imitation)"
    )
    batch = Batches(task.splits["train"], 400, 0, task.limit).at(0)
    ours, theirs = small_student(task), small_student(task)
    our_loss = BC(ours).loss(batch, Clock(seed=0, step=0, steps=1)).mean
    row, step = batch.mask.nonzero(as_tuple=True)  # [N] each; an action is a transition
    width = batch.target.shape[1]
    prefix = torch.full((len(row), task.horizon), PAD)
    after = torch.arange(width) >= step[:, None]
    prefix[:, :width] = batch.target[row].masked_fill(after, PAD)
    source = torch.full((len(row), task.source_limit), PAD)
    source[:, : batch.source.shape[1]] = batch.source[row][:, : task.source_limit]
    parts = {"source": source, "source_length": (source != PAD).sum(1, keepdim=True)}
    parts |= {"prefix": prefix, "prefix_length": step[:, None]}
    flat = FlatObservation.flatten({name: part.numpy() for name, part in parts.items()})
    policy = sb3_policy(sb3.TextPolicy, task, theirs, flat=True)
    calculate = bc.BehaviorCloningLossCalculator(ent_weight=0.0, l2_weight=0.0)
    their_loss = calculate(policy, torch.from_numpy(flat), batch.target[row, step]).loss
    torch.testing.assert_close(their_loss, our_loss, rtol=1e-5, atol=0)
    our_loss.backward()
    their_loss.backward()
    for our, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (our.grad - their.grad).norm() <= 1e-5 * our.grad.norm()
