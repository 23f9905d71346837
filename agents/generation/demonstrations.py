"""The teacher's outputs as training targets: SeqKD, SeqInter (Kim & Rush 2016) and ImitKD* (Lin et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from agents.generation.decoder import Decode
from textgen_env.metrics.scores import sentence_score
from textgen_env.tasks.task import Task
from textgen_env.types import EOS, Batch

KINDS = ("references", "teacher", "best_of_beam")
BEAM = 5  # the teacher's (Lin et al. 2020, section 4)


def demonstrate(decode: Decode, batches: Sequence[Batch]) -> dict[str, Tensor]:
    """Decode the sources of ``batches``, N rows, with ``keep`` hypotheses each.

    Returns:
        index ``[N]``: rows of the split · length ``[N, keep]``: of each hypothesis, best first ·
        action: the tokens of all hypotheses, one after the other.
    """
    actions, lengths = [], []
    for batch in batches:
        output = decode(batch.source, batch.limit)
        inside = (
            torch.arange(output.action.shape[1], device=output.action.device)
            < output.length[:, None]
        )
        actions.append(output.action[inside])
        lengths.append(output.length.view(len(batch), -1))  # [B, keep]
    return {
        "index": torch.cat([batch.index for batch in batches]),
        "length": torch.cat(lengths),
        "action": torch.cat(actions),
    }


def finished(tensors: dict[str, Tensor]) -> Iterator[tuple[int, list[Tensor]]]:
    """For each row of what ``demonstrate`` returned, the hypotheses that end with EOS, best first."""
    hypotheses = iter(tensors["action"].split(tensors["length"].flatten().tolist()))
    keep = tensors["length"].shape[1]
    for row in tensors["index"].tolist():
        yield (
            row,
            [
                action
                for action in (next(hypotheses) for _ in range(keep))
                if len(action) and action[-1] == EOS
            ],
        )


def best(task: Task, row: int, actions: list[Tensor]) -> Tensor:
    """Of the hypotheses for training sentence ``row`` the one with the highest score; of equals the first."""
    references = task.splits["train"].texts.references[row]

    def value(action: Tensor) -> float:
        return next(
            iter(
                sentence_score(
                    task.metric, task.vocabulary.decode(action.tolist()), references
                ).values()
            )
        )

    return max(actions, key=value) if len(actions) > 1 else actions[0]
