"""The single environment."""

from __future__ import annotations

import inspect
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.wrappers import TimeLimit

from textgen_env.envs import rewards, simulator
from textgen_env.envs.rendering import Transcript, print_colored, to_text
from textgen_env.envs.simulator import Observation, Simulator
from textgen_env.errors import UserError, unknown
from textgen_env.tasks.task import Task
from textgen_env.types import Oracle

TIME_LIMIT = (
    "max_episode_steps would truncate episodes before their reward is paid; "
    "set horizon= (env.horizon) instead"
)
SLOT = np.zeros(1, dtype=np.int64)  # the simulator's only slot


class TextGenEnv(gym.Env[Observation, int]):
    """Generate one text, token by token (Lin et al. 2020, section 3).

    ## Action Space
    ``Discrete(V)``: the next token. Every token is valid, including PAD and BOS.

    ## Observation Space
    ``Dict`` of 1-D ``Box(int64)``, padded with PAD: ``source [S]``, which ends in EOS;
    ``source_length [1]``, EOS included; ``prefix [T]``, the actions so far, without BOS;
    ``prefix_length [1]``. The arrays are copies: later steps do not change them.

    ## Rewards
    See ``textgen_env.envs.rewards``. Rewards that compare with an expert query it once per step.

    ## Starting State
    A source sampled from the split with ``np_random``, and an empty prefix.
    ``reset(options={"index": i, "split": name})`` selects either for that one episode.

    ## Episode End
    EOS terminates; the limit for the source (``Task.limit``, at most T actions) truncates. The
    terminal reward is paid either way. Wrapping the env in a ``TimeLimit``
    (``max_episode_steps``) is an error, because it would truncate without paying.

    ## Info
    - ``index``, at reset: the row in the split
    - ``expert_action``, with ``expert=True``: the expert's action in the current state
    - ``action_mask``, with ``action_mask=True``: int8 ``[V]``, 0 for PAD and BOS, 1 elsewhere
    - ``reference`` (the first one), ``hypothesis`` and the task's metric in percent, at the end of
      the episode, unless ``text="never"``
    - ``text``, with ``text="always"``: the decoded prefix, at every step. Decoding costs more than
      stepping.

    ## Arguments
    - ``task``: the task
    - ``split``: the split that episodes are sampled from
    - ``reward``: a name or a function; default: the task's
    - ``oracle``: the expert; default: the task's exact one if it has one, otherwise its references
    - ``expert``, ``action_mask``, ``text``: what ``info`` contains, see above
    - ``render_mode``: ``ansi`` returns a string, ``human`` prints; both query the oracle at every
      step

    ## Version History
    v0: initial version.
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
        simulator.check_flags(expert=expert, action_mask=action_mask)
        self.task, self.split, self.text, self.render_mode = task, split, text, render_mode
        self._simulator = Simulator(task, 1, split, reward, oracle, text)
        self.oracle, self.reward = self._simulator.oracle, self._simulator.reward
        self.observation_space = simulator.observation_space(task)
        self.action_space = spaces.Discrete(len(task.vocabulary))  # type: ignore[assignment]
        self._action_mask = simulator.action_mask(task) if action_mask else None
        self._expert = expert
        self._transcript = Transcript(task.vocabulary, task.id) if render_mode else None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; ``options`` may select its ``index`` and ``split``."""
        _refuse_time_limit(self)
        super().reset(seed=simulator.checked_seed(seed))
        split, index = self._simulator.sample(self.np_random, options)
        self._simulator.start(SLOT, [(split, index)])
        if self._transcript:
            source = self.task.splits[split].texts.sources[index]
            self._transcript.start(split, index, source, int(self._simulator.limit[0]))
        return self._simulator.observation(0), {"index": index, **self._info()}

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Append the token ``action``; see the class for ``info``."""
        if self._simulator.over[0]:
            raise ResetNeeded(simulator.EPISODE_OVER)
        reward, terminated, truncated = (array[0].item() for array in self._simulator.step(action))
        if self._transcript:
            self._transcript.act(int(action), reward)
        return self._simulator.observation(0), reward, terminated, truncated, self._info()

    def render(self) -> str | None:  # type: ignore[override]
        """Return ("ansi") or print ("human") the episode so far; "human" also prints every step."""
        if not self._transcript:
            gym.logger.warn(
                "render() does nothing without a render_mode; "
                'pass render_mode="ansi" or "human" to gymnasium.make'
            )
            return None
        if self.render_mode == "ansi":
            return to_text(self._transcript.table())
        print_colored(self._transcript.table())
        return None

    def _info(self) -> dict[str, Any]:
        """``info`` in the current state; also updates the transcript and renders for "human"."""
        info: dict[str, Any] = {}
        over = bool(self._simulator.over[0])
        if self._expert and not over:
            info["expert_action"] = int(self._simulator.query_action(SLOT)[0])
        if self._action_mask is not None:
            info["action_mask"] = self._action_mask.copy()
        if self.text == "always":
            info["text"] = self._simulator.text(0)
        final_info = {}
        if over and (self.text != "never" or self._transcript):
            final_info = self._simulator.final_info(0)
        if self.text != "never":
            info |= final_info
        if self._transcript:
            if over:
                self._transcript.end(final_info)
            else:
                self._transcript.set_expert(self._simulator.query(self.oracle.log_probs, SLOT)[0])
            if self.render_mode == "human":
                self.render()
        return info


def _refuse_time_limit(env: gym.Env) -> None:
    """UserError if ``reset`` was called by a ``TimeLimit`` around ``env`` (``max_episode_steps``).

    The spec does not always record the wrapper, so this searches the call stack.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code is TimeLimit.reset.__code__ and frame.f_locals["self"].unwrapped is env:
            raise UserError(TIME_LIMIT)
        frame = frame.f_back
