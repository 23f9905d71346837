"""The teacher's outputs as training targets.

For SeqKD and SeqInter (Kim & Rush 2016) and for ImitKD* (Lin et al. 2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from agents.generation.decoder import Decode, Decoder
from textgen_env.metrics.scores import sentence_score
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.oracles.texts import ReencodingOracle
from textgen_env.tasks.task import Task
from textgen_env.types import EOS, Batch, Oracle

KINDS = ("references", "teacher", "best_of_beam")
BEAM = 5  # beam width of the teacher (Lin et al. 2020, section 4)


def oracle_decoder(oracle: Oracle, beam: int, *settings: Any) -> Decode:
    """A decoder of the oracle's policy, from the student's tokens to the student's tokens.

    Args:
        oracle: a policy's, or an expert that decodes by itself.
        beam: beam width.
        *settings: further arguments of ``Decoder``, in its order.
    """
    if not isinstance(oracle, PolicyOracle | ReencodingOracle):
        return oracle.demonstrate
    decoder = Decoder(oracle.policy, beam, *settings)
    return oracle.reencoded(decoder) if isinstance(oracle, ReencodingOracle) else decoder


def generate_demonstrations(decode: Decode, batches: Sequence[Batch]) -> dict[str, Tensor]:
    """Decode the sources of ``batches``.

    Args:
        decode: returns ``keep`` hypotheses per source, best first.
        batches: N rows in all.

    Returns:
        index ``[N]``: rows of the split · length ``[N, keep]`` of each hypothesis · action: the
        tokens of all hypotheses, concatenated.
    """
    actions, lengths = [], []
    for batch in batches:
        output = decode(batch.source, batch.limit)
        time = torch.arange(output.action.shape[1], device=output.action.device)
        actions.append(output.action[time < output.length[:, None]])
        lengths.append(output.length.view(len(batch), -1))  # [B, keep]
    return {
        "index": torch.cat([batch.index for batch in batches]),
        "length": torch.cat(lengths),
        "action": torch.cat(actions),
    }


def finished_hypotheses(demonstrations: dict[str, Tensor]) -> Iterator[tuple[int, list[Tensor]]]:
    """Iterate over the rows of ``generate_demonstrations``.

    Yields:
        The row of the split, and its hypotheses that end with EOS, best first.
    """
    lengths = demonstrations["length"]
    hypotheses = iter(demonstrations["action"].split(lengths.flatten().tolist()))
    for row in demonstrations["index"].tolist():
        actions = [next(hypotheses) for _ in range(lengths.shape[1])]
        yield row, [action for action in actions if len(action) and action[-1] == EOS]


def best_hypothesis(task: Task, row: int, actions: list[Tensor]) -> Tensor:
    """The hypothesis for training sentence ``row`` with the highest score; the first of equals."""
    references = task.splits["train"].texts.references[row]

    def score(action: Tensor) -> float:
        text = task.vocabulary.decode(action.tolist())
        return next(iter(sentence_score(task.metric, text, references).values()))

    return max(actions, key=score) if len(actions) > 1 else actions[0]
