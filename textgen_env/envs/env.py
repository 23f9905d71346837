"""One episode at a time, as gymnasium wants it: a shell over ``dynamics`` and ``rewards``."""

from __future__ import annotations

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from textgen_env.envs import dynamics, rewards
from textgen_env.envs.rendering import Transcript, coloured, plain
from textgen_env.envs.shell import (
    OVER,
    Observation,
    allowed,
    ask,
    check_switches,
    checked_actions,
    checked_oracle,
    checked_seed,
    checked_split,
    checked_text,
    closing,
    draw,
    observation_space,
    refuse_time_limit,
)
from textgen_env.errors import unknown
from textgen_env.tasks.task import Task
from textgen_env.types import Oracle


class TextGenEnv(gym.Env[Observation, int]):
    """Write one text, a token at a time (Lin et al. 2020, section 3).

    ## Action Space
    ``Discrete(V)``: the next token.  Every token is accepted, PAD and BOS too; what is silly scores badly.

    ## Observation Space
    ``Dict`` of 1-D ``Box(int64)``: ``source [S]`` ends in EOS, PAD after; ``source_length [1]`` EOS included; ``prefix [T]``
    the actions so far, without BOS, PAD after; ``prefix_length [1]`` how many.  The arrays are the caller's to keep and change.

    ## Rewards
    See ``rewards``.  Those that compare with an expert ask the oracle once a step.

    ## Starting State
    A row of the split drawn by ``np_random``, and an empty prefix.  ``reset(options={"index": i, "split": name})`` chooses
    either, for that one episode.

    ## Episode End
    Terminated by EOS, truncated at the limit of the episode's source (``Task.limit``, at most T actions); a terminal
    reward is paid either way.  A ``TimeLimit`` around it (``max_episode_steps``) is refused, as it would cut
    episodes without paying.

    ## Info
    ``index`` at reset, the row · ``expert_action`` at the state reached, if ``expert`` · ``action_mask`` int8 ``[V]``, all but
    PAD and BOS, if ``action_mask`` · at the end ``reference`` (the first), ``hypothesis`` and the task's metric for this
    sentence in percent, unless ``text="never"`` · ``text``, the prefix decoded, at every state, only if ``text="always"``:
    decoding costs more than stepping.

    ## Arguments
    task: what the episodes are made of.  split: where they are drawn from.  reward: a name or a function; by default the
    task's.  oracle: the expert; by default the task's exact one, else the references.  expert: put its action in ``info``.
    render_mode: "ansi" gives a string, "human" prints; both ask the oracle at every state.

    ## Version History
    v0: first.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "human"], "render_fps": 4}  # noqa: RUF012

    def __init__(
        self,
        task: Task,
        split: str = "train",
        reward: str | rewards.Function | None = None,
        oracle: Oracle | None = None,
        expert: bool = False,
        action_mask: bool = False,
        text: Literal["never", "end", "always"] = "end",
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise unknown("render_mode", render_mode, self.metadata["render_modes"])
        check_switches(expert=expert, action_mask=action_mask)
        self.task, self.render_mode = task, render_mode
        self.split, self.text = checked_split(task, split), checked_text(text)
        self.oracle = checked_oracle(task, oracle)
        self.reward = rewards.make(task.reward if reward is None else reward, task, self.oracle)
        self.observation_space = observation_space(task)
        self.action_space = spaces.Discrete(len(task.vocabulary))  # type: ignore[assignment]
        self._mask = allowed(task) if action_mask else None
        self._expert = expert
        self._expert_action: np.ndarray | None = None  # [1], at the present state
        self._ended = True
        self._transcript = Transcript(task.vocabulary, task.id) if render_mode else None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        refuse_time_limit(self)
        super().reset(seed=checked_seed(seed))
        self._episode = draw(self.task, self.split, self.np_random, options)
        split, index = self._episode
        rows = self.task.splits[split]
        self._state = dynamics.initial([rows.source[index]], self.task.source_limit, self.task.horizon)
        self._limit = self.task.limit(self._state.source_length[:, 0])  # [1]
        self._ended = False
        if self._transcript:
            self._transcript.begin(split, index, rows.texts.sources[index], int(self._limit[0]))
        return self._observation(), {"index": index, **self._arrive()}

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        if self._ended:
            raise ResetNeeded(OVER)
        actions = checked_actions(self.task, action, 1)  # [1]
        dynamics.transition(self._state, actions, out=self._state)
        terminated = bool(dynamics.terminated(actions)[0])
        truncated = bool(dynamics.truncated(self._state, actions, self._limit)[0])
        self._ended = terminated or truncated
        reward = self._earn()
        if self._transcript:
            self._transcript.act(int(actions[0]), reward)
        return self._observation(), reward, terminated, truncated, self._arrive()

    def render(self) -> str | None:  # type: ignore[override]
        """Where the episode stands: a string ("ansi"), or printed ("human", which step and reset do by themselves)."""
        if not self._transcript:
            gym.logger.warn(
                'render() shows nothing without a render_mode; choose "ansi" or "human" when making the environment'
            )
            return None
        if self.render_mode == "ansi":
            return plain(self._transcript.show())
        coloured(self._transcript.show())
        return None

    def _observation(self) -> Observation:
        return {name: part[0].copy() for name, part in self._state._asdict().items()}

    def _earn(self) -> float:
        """The reward of the action just taken."""
        if self.reward.terminal and not self._ended:
            return 0.0
        split, index = self._episode
        state, ended = self._state, np.array([self._ended])
        episodes = rewards.Episodes([split], np.array([index]), state.source, state.prefix, state.prefix_length[:, 0], ended)
        return float(self.reward(episodes, episodes.last, self._expert_action)[0])

    def _arrive(self) -> dict[str, Any]:
        """What there is to say of the state reached, for ``info`` and for the eye."""
        info: dict[str, Any] = {}
        if self._expert and not self._ended:
            self._expert_action = ask(self.oracle.action, self._state)
            info["expert_action"] = int(self._expert_action[0])
        if self._mask is not None:
            info["action_mask"] = self._mask.copy()
        if self.text == "always":
            info["text"] = self._text()
        if self._ended and self.text != "never":
            info |= closing(self.task, *self._episode, self._text())
        if self._transcript:
            self._draw(self._transcript)
        return info

    def _draw(self, transcript: Transcript) -> None:
        if self._ended:
            transcript.end(closing(self.task, *self._episode, self._text()))
        else:
            transcript.advise(ask(self.oracle.log_probs, self._state)[0])
        if self.render_mode == "human":
            self.render()

    def _text(self) -> str:
        return self.task.vocabulary.decode(self._state.prefix[0, : self._state.prefix_length[0, 0]].tolist())
