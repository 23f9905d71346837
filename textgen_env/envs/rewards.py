"""What an action is worth.  A reward scores one step of an environment and whole trajectories by the same code.

- ``zero_one``: 0 where the action is the oracle's, -1 elsewhere: minus the return counts disagreements (the 0–1 loss of Lin et
  al. 2020, Theorem 1).
- ``cost``: minus what the action costs in a task with an exact expert (``ExactOracle.cost``): in Tightrope-v0 the
  cost of the T² bound, elsewhere the same as ``zero_one`` against that expert.
- ``expert_logprob``: log π*(action | state). The return is log π*(output | source), which no action can
  raise: short outputs win, and often the empty one most of all. Use it where outputs have one length,
  or to measure what an output costs; to train, use the next one.
- ``expert_logprob_mean``: 0 until the episode is over, then the mean over its actions, EOS included, of
  log π*(action | state). The return is log π*(output | source) divided by the output's length, so that an
  output is worth what its average action is, whatever its length.
- ``bleu``, ``chrf``, ``rouge``, ``accuracy``: 0 until the episode is over, then the sentence's BLEU (with the
  task's tokenizer), chrF, ROUGE-L F1 or exact match in [0, 1].
- a function ``f(task, split, index, action, ended) -> float``, called after every step: the Task, the split's name, the row
  in it, the actions of the episode so far (int64, the last one just taken), and whether the episode is over. Its dotted path,
  ``my_rewards.length`` or ``my_rewards:length``, names it too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch

from textgen_env.errors import UserError, unknown
from textgen_env.imports import import_object
from textgen_env.metrics.bleu_tokenizer import SAMPLE, bleu_metric
from textgen_env.metrics.scores import sentence_score
from textgen_env.oracles.exact import ExactOracle
from textgen_env.profiler import phase
from textgen_env.tasks.task import Task
from textgen_env.types import Oracle, Trajectories, pad, shift

Function = Callable[[Task, str, int, np.ndarray, bool], float]


@dataclass(frozen=True, slots=True)
class Episodes:
    """``B`` episodes, over or under way: rows of a task's splits, and the actions so far.

    split: a name a row · index ``[B]`` · source ``[B, S]`` · action ``[B, T]`` · length ``[B]`` · ended ``[B]`` bool.
    """

    split: Sequence[str]
    index: np.ndarray
    source: np.ndarray
    action: np.ndarray
    length: np.ndarray
    ended: np.ndarray

    @property
    def taken(self) -> np.ndarray:
        """``[B, T]`` bool: True where an action was taken."""
        return np.arange(self.action.shape[1]) < self.length[:, None]

    @property
    def last(self) -> np.ndarray:
        """``[B, T]`` bool: True at each row's last action."""
        return np.arange(self.action.shape[1]) == self.length[:, None] - 1


class Reward(Protocol):
    """terminal: it is 0 before the episode is over."""

    terminal: ClassVar[bool]

    def __call__(
        self, episodes: Episodes, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        """float64 ``[N]``: one reward for every position where ``mask`` ``[B, T]`` is True, in row-major order.

        expert_action ``[N]``: the oracle's actions there, where the caller knows them already.
        """
        ...


def make(reward: str | Function, task: Task, oracle: Oracle | None = None) -> Reward:
    """Build the reward with that name, the function itself, or the function at ``module.name`` or ``module:name``.

    Raises:
        UserError: there is no such reward, or it needs an oracle and ``oracle`` is None.
    """
    if isinstance(reward, str) and ("." in reward or ":" in reward):
        path, reward = reward, import_object("reward", reward)
        if not callable(reward):
            raise UserError(f"reward {path!r} is not a function; see textgen_env.envs.rewards")
    if callable(reward):
        return Custom(reward, task)
    if reward in TERMINAL:
        return Terminal(_bleu(task) if reward == "bleu" else reward, TERMINAL[reward], task)
    if reward == "cost":
        exact = task.oracle and task.oracle()
        if not isinstance(exact, ExactOracle):
            raise UserError(f"reward='cost': {task.id} has no exact expert; choose another reward")
        return Cost(exact)
    if reward not in EXPERT:
        raise unknown("reward", reward, [*EXPERT, "cost", *TERMINAL])
    if oracle is None:
        raise UserError(
            f"reward={reward!r} compares with an expert; give an oracle, or choose from {', '.join(TERMINAL)}"
        )
    return EXPERT[reward](oracle)


def _bleu(task: Task) -> str:
    """BLEU with the task's tokenizer; UserError where it has chosen none and none fits its texts."""
    if task.corpus.bleu:
        return task.corpus.bleu
    references = [known[0] for known in task.splits["train"].texts.references[:SAMPLE]]
    return bleu_metric("auto", "", references, "use reward=chrf")


@phase("reward")
def score(
    reward: Reward, task: Task, split: str, index: Sequence[int], trajectories: Trajectories
) -> np.ndarray:
    """Rewards float64 ``[B, T]`` of finished episodes for rows ``index`` of ``split``, step by step; 0 after the end."""
    rows = np.asarray(index)
    source = pad([task.splits[split].source[row] for row in rows], task.source_limit)
    action, length = trajectories.action.cpu().numpy(), trajectories.length.cpu().numpy()
    episodes = Episodes(
        [split] * len(rows), rows, source, action, length, np.ones(len(rows), dtype=bool)
    )
    taken = episodes.taken
    rewards = np.zeros(action.shape)
    rewards[taken] = reward(episodes, taken)
    return rewards


@dataclass(frozen=True)
class ZeroOne:
    """Agreement with the oracle: 0 or -1."""

    oracle: Oracle
    terminal: ClassVar[bool] = False

    def __call__(
        self, episodes: Episodes, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        if expert_action is None:
            expert_action = self.oracle.action(*_states(episodes, mask)).cpu().numpy()
        return np.where(episodes.action[mask] == expert_action, 0.0, -1.0)


@dataclass(frozen=True)
class Cost:
    """Minus the cost of an action by the task's exact expert."""

    exact: ExactOracle
    terminal: ClassVar[bool] = False

    def __call__(
        self, episodes: Episodes, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        width = int(episodes.length.max())
        source, action = (
            torch.from_numpy(episodes.source),
            torch.from_numpy(episodes.action[:, :width]),
        )
        return 0.0 - self.exact.cost(source, action).double().numpy()[mask[:, :width]]


@dataclass(frozen=True)
class ExpertLogProb:
    """The oracle's log-probability of the action, in nats."""

    oracle: Oracle
    terminal: ClassVar[bool] = False

    def __call__(
        self, episodes: Episodes, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        log_probs = self.oracle.log_probs(*_states(episodes, mask)).cpu().numpy()  # [N, V]
        return log_probs[np.arange(len(log_probs)), episodes.action[mask]].astype(np.float64)


@dataclass(frozen=True)
class MeanExpertLogProb:
    """The mean of ``ExpertLogProb`` over the episode's actions, paid with the last one, in nats."""

    oracle: Oracle
    terminal: ClassVar[bool] = True

    def __call__(
        self, episodes: Episodes, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        ended = episodes.taken & episodes.ended[:, None]  # [B, T]
        log_probs = np.zeros(mask.shape)
        if ended.any():
            log_probs[ended] = ExpertLogProb(self.oracle)(episodes, ended)
        return np.where(
            episodes.last, log_probs.sum(1, keepdims=True) / episodes.length[:, None], 0.0
        )[mask]


@dataclass(frozen=True)
class Terminal:
    """A metric of the finished text against the references, paid with the last action."""

    metric: str
    value: str
    task: Task
    terminal: ClassVar[bool] = True

    def __call__(
        self, episodes: Episodes, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        rewards = np.zeros(mask.shape)
        for row in np.flatnonzero(episodes.ended).tolist():
            references = self.task.splits[episodes.split[row]].texts.references[episodes.index[row]]
            length = episodes.length[row]
            text = self.task.vocabulary.decode(episodes.action[row, :length].tolist())
            rewards[row, length - 1] = (
                sentence_score(self.metric, text, references)[self.value] / 100.0
            )
        return rewards[mask]


@dataclass(frozen=True)
class Custom:
    """A function of the user's; see the module's text for what it is given."""

    function: Function
    task: Task
    terminal: ClassVar[bool] = False

    def __call__(
        self, episodes: Episodes, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        return np.array(
            [self._reward(episodes, row, step) for row, step in np.argwhere(mask).tolist()],
            dtype=np.float64,
        )

    def _reward(self, episodes: Episodes, row: int, step: int) -> float:
        ended = bool(episodes.ended[row]) and step == episodes.length[row] - 1
        action = episodes.action[row, : step + 1].copy()
        return float(
            self.function(self.task, episodes.split[row], int(episodes.index[row]), action, ended)
        )


EXPERT: dict[str, Callable[[Oracle], Reward]] = {
    "zero_one": ZeroOne,
    "expert_logprob": ExpertLogProb,
    "expert_logprob_mean": MeanExpertLogProb,
}
# The value of each metric that is paid.
TERMINAL = {"bleu": "bleu", "chrf": "chrf", "rouge": "rougeL", "accuracy": "accuracy"}


def _states(
    episodes: Episodes, mask: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An oracle's arguments: the states before the actions at ``mask``; columns that no row needs are cut off."""
    width = int(episodes.length.max())
    prefix = shift(torch.from_numpy(episodes.action[:, :width]))
    return torch.from_numpy(episodes.source), prefix, torch.from_numpy(mask[:, :width])
