"""Rewards. The same code scores one step of an environment and whole trajectories.

- ``zero_one``: 0 if the action is the oracle's, otherwise -1. Minus the return counts the
  disagreements (the 0-1 loss of Lin et al. 2020, Theorem 1).
- ``cost``: minus the cost of the action in a task with an exact expert (``ExactOracle.cost``). In
  Tightrope-v0 this is the cost in the T² bound; elsewhere it equals ``zero_one`` with that expert.
- ``expert_logprob``: log π*(action | state). The return is log π*(output | source), which favors
  short outputs, often even the empty one. Use it if all outputs have the same length, or to measure
  log-likelihood; to train, use ``expert_logprob_mean``.
- ``expert_logprob_mean``: at the end of the episode, the mean of log π*(action | state) over its
  actions, EOS included; 0 before. The return is log π*(output | source) divided by the length.
- ``bleu``, ``chrf``, ``rouge``, ``accuracy``: at the end of the episode, the sentence's BLEU (with
  the task's tokenizer), chrF, ROUGE-L F1 or exact match, in [0, 1]; 0 before.
- a function ``f(task, split, index, action, ended) -> float``, or its dotted path, such as
  ``my_rewards.length`` or ``my_rewards:length``. It is called after every step with the Task, the
  name of the split, the row in it, the actions of the episode so far (int64, the latest last), and
  whether the episode has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch

from textgen_env.chunks import row_chunks
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
class EpisodeBatch:
    """``B`` episodes, finished or in progress.

    Args:
        split: the split of each episode
        index: ``[B]``, the row in the split
        source: ``[B, S]``
        action: ``[B, T]``, the actions so far
        length: ``[B]``, the number of actions so far
        ended: ``[B]`` bool
    """

    split: Sequence[str]
    index: np.ndarray
    source: np.ndarray
    action: np.ndarray
    length: np.ndarray
    ended: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """``[B, T]`` bool: True at every action, False at padding."""
        return np.arange(self.action.shape[1]) < self.length[:, None]

    @property
    def last(self) -> np.ndarray:
        """``[B, T]`` bool: True at each row's last action."""
        return np.arange(self.action.shape[1]) == self.length[:, None] - 1


class Reward(Protocol):
    """A reward function. If ``terminal`` is true, it is 0 until the episode ends."""

    terminal: ClassVar[bool]

    def __call__(
        self, episodes: EpisodeBatch, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        """Compute the rewards of the actions that a mask selects.

        Args:
            episodes: the episodes
            mask: ``[B, T]`` bool, selects N actions
            expert_action: ``[N]``, the oracle's actions there if known, which saves the query

        Returns:
            float64 ``[N]``, in row-major order.
        """
        ...


def make(reward: str | Function, task: Task, oracle: Oracle | None = None) -> Reward:
    """Build a reward from its name, from a function, or from the dotted path of a function.

    Raises:
        UserError: there is no such reward, or it needs an oracle and ``oracle`` is None.
    """
    if isinstance(reward, str) and ("." in reward or ":" in reward):
        path, reward = reward, import_object("reward", reward)
        if not callable(reward):
            raise UserError(f"reward {path!r} is not a function; see textgen_env.envs.rewards")
    if callable(reward):
        return FunctionReward(reward, task)
    if reward in METRIC_REWARDS:
        return MetricReward(
            _bleu(task) if reward == "bleu" else reward, METRIC_REWARDS[reward], task
        )
    if reward == "cost":
        exact = task.oracle and task.oracle()
        if not isinstance(exact, ExactOracle):
            raise UserError(f"reward='cost': {task.id} has no exact expert; choose another reward")
        return CostReward(exact)
    if reward not in EXPERT_REWARDS:
        raise unknown("reward", reward, [*EXPERT_REWARDS, "cost", *METRIC_REWARDS])
    if oracle is None:
        others = ", ".join(METRIC_REWARDS)
        raise UserError(f"reward={reward!r} needs an oracle; pass one, or choose from {others}")
    return EXPERT_REWARDS[reward](oracle)


def _bleu(task: Task) -> str:
    """BLEU with the task's tokenizer, or with one for the language of its references."""
    if task.corpus.bleu:
        return task.corpus.bleu
    references = [texts[0] for texts in task.splits["train"].texts.references[:SAMPLE]]
    return bleu_metric("auto", "", references, "use reward=chrf")


@phase("reward")
def score_trajectories(
    reward: Reward, task: Task, split: str, index: Sequence[int], trajectories: Trajectories
) -> np.ndarray:
    """Compute the reward of every action of finished episodes.

    Args:
        reward: the reward
        task: the task
        split: the split of all episodes
        index: ``[B]``, the row of each episode in the split
        trajectories: the actions ``[B, T]``

    Returns:
        float64 ``[B, T]``, 0 after the end of an episode.
    """
    rows = np.asarray(index)
    source = pad([task.splits[split].source[row] for row in rows], task.source_limit)
    action, length = trajectories.action.cpu().numpy(), trajectories.length.cpu().numpy()
    ended = np.ones(len(rows), dtype=bool)
    episodes = EpisodeBatch([split] * len(rows), rows, source, action, length, ended)
    rewards = np.zeros(action.shape)
    rewards[episodes.mask] = reward(episodes, episodes.mask)
    return rewards


@dataclass(frozen=True)
class ZeroOne:
    """0 if the action is the oracle's, otherwise -1."""

    oracle: Oracle
    terminal: ClassVar[bool] = False

    def __call__(
        self, episodes: EpisodeBatch, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        """See ``Reward``."""
        if expert_action is None:
            expert_action = self.oracle.action(*_oracle_inputs(episodes, mask)).cpu().numpy()
        return np.where(episodes.action[mask] == expert_action, 0.0, -1.0)


@dataclass(frozen=True)
class CostReward:
    """Minus the cost of the action according to the task's exact expert."""

    exact: ExactOracle
    terminal: ClassVar[bool] = False

    def __call__(
        self, episodes: EpisodeBatch, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        """See ``Reward``."""
        width = int(episodes.length.max())
        action = torch.from_numpy(episodes.action[:, :width])
        cost = self.exact.cost(torch.from_numpy(episodes.source), action).double().numpy()
        return 0.0 - cost[mask[:, :width]]


@dataclass(frozen=True)
class ExpertLogProb:
    """The oracle's log-probability of the action, in nats."""

    oracle: Oracle
    terminal: ClassVar[bool] = False

    def __call__(
        self, episodes: EpisodeBatch, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        """See ``Reward``."""
        inputs = _oracle_inputs(episodes, mask)
        action = torch.from_numpy(episodes.action[mask])[:, None]  # [N, 1]

        def chosen(rows: slice, positions: slice) -> torch.Tensor:
            log_probs = self.oracle.log_probs(*(tensor[rows] for tensor in inputs))  # [n, V]
            return log_probs.gather(1, action[positions].to(log_probs.device)).cpu()  # [n, 1]

        split = row_chunks(inputs[2].sum(1), self.oracle.vocabulary_size, inputs[0].device)
        return torch.cat([chosen(*chunk) for chunk in split]).squeeze(1).double().numpy()


@dataclass(frozen=True)
class MeanExpertLogProb:
    """The mean of ``ExpertLogProb`` over the episode, paid at its last action, in nats."""

    oracle: Oracle
    terminal: ClassVar[bool] = True

    def __call__(
        self, episodes: EpisodeBatch, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        """See ``Reward``."""
        ended = episodes.mask & episodes.ended[:, None]  # [B, T]
        log_probs = np.zeros(mask.shape)
        if ended.any():
            log_probs[ended] = ExpertLogProb(self.oracle)(episodes, ended)
        mean = log_probs.sum(1, keepdims=True) / episodes.length[:, None]
        return np.where(episodes.last, mean, 0.0)[mask]


@dataclass(frozen=True)
class MetricReward:
    """A sentence-level metric, paid at the last action: the score named ``key`` of ``metric``."""

    metric: str
    key: str
    task: Task
    terminal: ClassVar[bool] = True

    def __call__(
        self, episodes: EpisodeBatch, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        """See ``Reward``."""
        rewards = np.zeros(mask.shape)
        for row in np.flatnonzero(episodes.ended).tolist():
            references = self.task.splits[episodes.split[row]].texts.references[episodes.index[row]]
            length = episodes.length[row]
            text = self.task.vocabulary.decode(episodes.action[row, :length].tolist())
            scores = sentence_score(self.metric, text, references)
            rewards[row, length - 1] = scores[self.key] / 100.0
        return rewards[mask]


@dataclass(frozen=True)
class FunctionReward:
    """A user's function; the module's docstring describes its arguments."""

    function: Function
    task: Task
    terminal: ClassVar[bool] = False

    def __call__(
        self, episodes: EpisodeBatch, mask: np.ndarray, expert_action: np.ndarray | None = None
    ) -> np.ndarray:
        """See ``Reward``."""
        rewards = [self._reward(episodes, row, step) for row, step in np.argwhere(mask).tolist()]
        return np.array(rewards, dtype=np.float64)

    def _reward(self, episodes: EpisodeBatch, row: int, step: int) -> float:
        ended = bool(episodes.ended[row]) and step == episodes.length[row] - 1
        action = episodes.action[row, : step + 1].copy()
        return float(
            self.function(self.task, episodes.split[row], int(episodes.index[row]), action, ended)
        )


EXPERT_REWARDS: dict[str, Callable[[Oracle], Reward]] = {
    "zero_one": ZeroOne,
    "expert_logprob": ExpertLogProb,
    "expert_logprob_mean": MeanExpertLogProb,
}
# Each metric, and the name of the score that is the reward.
METRIC_REWARDS = {"bleu": "bleu", "chrf": "chrf", "rouge": "rougeL", "accuracy": "accuracy"}


def _oracle_inputs(
    episodes: EpisodeBatch, mask: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The arguments of an oracle query in the states before the actions that ``mask`` selects."""
    width = int(episodes.length.max())
    prefix = shift(torch.from_numpy(episodes.action[:, :width]))
    return torch.from_numpy(episodes.source), prefix, torch.from_numpy(mask[:, :width])
