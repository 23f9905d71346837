"""One episode at a time, as gymnasium wants it."""

from __future__ import annotations

import inspect
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.wrappers import TimeLimit

from textgen_env.envs import rewards
from textgen_env.envs.game import (
    OVER,
    Game,
    Observation,
    allowed,
    check_switches,
    checked_seed,
    observation_space,
)
from textgen_env.envs.rendering import Transcript, colored, plain
from textgen_env.errors import UserError, unknown
from textgen_env.tasks.task import Task
from textgen_env.types import Oracle

TIME_LIMIT = "max_episode_steps would cut episodes before their reward is paid; set horizon= (env.horizon) instead"
SLOT = np.zeros(1, dtype=np.int64)  # the only one


class TextGenEnv(gym.Env[Observation, int]):
    """Generate one text, a token at a time (Lin et al. 2020, section 3).

    ## Action Space
    ``Discrete(V)``: the next token.  Every token is accepted, PAD and BOS too.

    ## Observation Space
    ``Dict`` of 1-D ``Box(int64)``: ``source [S]`` ends in EOS, PAD after; ``source_length [1]`` EOS included; ``prefix [T]``
    the actions so far, without BOS, PAD after; ``prefix_length [1]`` how many.  The arrays are the caller's to keep and change.

    ## Rewards
    See ``rewards``.  Those that compare with an expert query the oracle once a step.

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
    render_mode: "ansi" gives a string, "human" prints; both query the oracle at every state.

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
        self._game = Game(task, 1, split, reward, oracle, text)
        self.split, self.oracle, self.reward, self.text = (
            split,
            self._game.oracle,
            self._game.reward,
            text,
        )
        self.observation_space = observation_space(task)
        self.action_space = spaces.Discrete(len(task.vocabulary))  # type: ignore[assignment]
        self._mask = allowed(task) if action_mask else None
        self._expert = expert
        self._transcript = Transcript(task.vocabulary, task.id) if render_mode else None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        _refuse_time_limit(self)
        super().reset(seed=checked_seed(seed))
        split, index = self._game.draw(self.np_random, options)
        self._game.begin(SLOT, [(split, index)])
        if self._transcript:
            source = self.task.splits[split].texts.sources[index]
            self._transcript.begin(split, index, source, int(self._game.limit[0]))
        return self._game.observation(0), {"index": index, **self._arrive()}

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        if self._game.over[0]:
            raise ResetNeeded(OVER)
        reward, terminated, truncated = (part[0].item() for part in self._game.act(action))
        if self._transcript:
            self._transcript.act(int(action), reward)
        return self._game.observation(0), reward, terminated, truncated, self._arrive()

    def render(self) -> str | None:  # type: ignore[override]
        """Where the episode stands: a string ("ansi"), or printed ("human", which step and reset do by themselves)."""
        if not self._transcript:
            gym.logger.warn(
                'render() shows nothing without a render_mode; choose "ansi" or "human" when making the environment'
            )
            return None
        if self.render_mode == "ansi":
            return plain(self._transcript.show())
        colored(self._transcript.show())
        return None

    def _arrive(self) -> dict[str, Any]:
        """``info`` of the state reached; the transcript hears of it too."""
        info: dict[str, Any] = {}
        over = bool(self._game.over[0])
        if self._expert and not over:
            info["expert_action"] = int(self._game.advise(SLOT)[0])
        if self._mask is not None:
            info["action_mask"] = self._mask.copy()
        if self.text == "always":
            info["text"] = self._game.text(0)
        closing = (
            self._game.closing(0) if over and (self.text != "never" or self._transcript) else {}
        )
        if self.text != "never":
            info |= closing
        if self._transcript:
            if over:
                self._transcript.end(closing)
            else:
                self._transcript.advise(self._game.query(self.oracle.log_probs, SLOT)[0])
            if self.render_mode == "human":
                self.render()
        return info


def _refuse_time_limit(env: gym.Env) -> None:
    """UserError where ``reset`` of ``env`` was called by a gymnasium ``TimeLimit`` around it (``max_episode_steps``).

    It would cut episodes before their reward is paid.  The spec does not record it, so the call stack is searched.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code is TimeLimit.reset.__code__ and frame.f_locals["self"].unwrapped is env:
            raise UserError(TIME_LIMIT)
        frame = frame.f_back
