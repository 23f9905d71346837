"""Rendered episodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from support.tiny import noisy_references, play_actions, progress, tiny_task, until_eos
from textgen_env.data.limit import Limit
from textgen_env.envs.env import TextGenEnv
from textgen_env.types import EOS


@pytest.fixture
def task():
    return tiny_task()


def test_ansi_shows_source_output_and_differences_from_the_expert(task):
    env = TextGenEnv(task, render_mode="ansi", reward="zero_one")
    env.reset(options={"index": 0})
    assert "der hund sieht die katze" in env.render()
    assert "the 0.99" in env.render()
    env.step(task.vocabulary.encode("the")[0])
    env.step(task.vocabulary.encode("cat")[0])
    rendered = env.render()
    assert "the ‹cat≠dog›" in rendered
    assert "cat (0.00) ≠ the expert's dog (0.99)" in rendered
    assert "sees 0.99" in rendered
    assert "reward -1 · return -1" in rendered
    env.step(EOS)
    rendered = env.render()
    for text in ("the dog sees the cat", "the cat", "bleu"):
        assert text in rendered
    assert "\x1b" not in rendered


def test_human_prints_every_step_and_leaves_info_unchanged(task, capsys):
    env = TextGenEnv(task, render_mode="human")
    _, info = env.reset(options={"index": 2})
    assert "ein mann" in capsys.readouterr().out
    assert "expert_action" not in info
    env.step(EOS)
    assert "hypothesis" in capsys.readouterr().out
    assert env.render() is None


def test_long_outputs_are_wrapped_at_100_columns(task):
    env = TextGenEnv(task, render_mode="ansi")
    env.reset(options={"index": 3})
    list(play_actions(env, [0, 1, 3, 3, 3, 0, 1, 3]))
    assert max(map(len, env.render().splitlines())) <= 100


def test_rendering_does_not_change_episodes(task):
    actions = until_eos(noisy_references(task, "train", np.arange(4), 0.4, seed=0))
    for row in range(4):
        plain = TextGenEnv(task, reward=progress)
        rendered = TextGenEnv(task, reward=progress, render_mode="ansi")
        for env in (plain, rendered):
            env.reset(options={"index": row})
        steps = zip(
            play_actions(plain, actions[row]), play_actions(rendered, actions[row]), strict=True
        )
        assert all(step[1:] == other[1:] for step, other in steps)


def test_heading_counts_up_to_the_limit_of_the_source(task):
    task = replace(task, limit=Limit(9, 0.5, 1))
    env = TextGenEnv(task, "test", render_mode="ansi")
    env.reset(options={"index": 0})
    assert "step 0 of 4" in env.render()  # the source has 5 words and EOS
