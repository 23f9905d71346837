"""A model: a policy with its vocabulary and its text rules.  Text in, text out, and a folder to keep it in.

A run folder holds its student as a model: the weights and, in their header, the architecture and the text rules, beside
the vocabulary.  Nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from agents.discovery import POLICY, build, find_policy, settings
from agents.generation.decoder import Decoder
from agents.training.checkpoint import load_tensors, load_weights, save_tensors
from textgen_env.data.batching import sequential_batches
from textgen_env.data.corpus import Pairs, Preprocessing
from textgen_env.data.files import CorruptFileError
from textgen_env.data.limit import Limit
from textgen_env.data.readers import unescape_text
from textgen_env.data.split import Split
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task
from textgen_env.tasks.wmt16 import split_punctuation
from textgen_env.types import EOS

WEIGHTS, VOCABULARY = Path("checkpoints", "best.safetensors"), Path("vocabulary.json")
TOKENS = 4096  # positions decoded side by side


class TextRules(NamedTuple):
    """How raw text becomes a source, and how long an output may be.

    Args:
        preprocessing: what is done to the text before it becomes tokens.
        source_limit: tokens of a source, EOS included; longer ones are cut.
        limit: the most tokens generated for a source.
    """

    preprocessing: Preprocessing
    source_limit: int
    limit: Limit

    @classmethod
    def of(cls, task: Task) -> TextRules:
        """The rules of ``task``."""
        return cls(task.corpus.preprocessing, task.source_limit, task.limit)

    def normalize(self, text: str) -> str:
        """``text`` as the corpus would hold it."""
        if self.preprocessing.unescape:
            text = unescape_text(text)
        text = " ".join(text.split())
        if self.preprocessing.split_marks:
            text = split_punctuation(text)
        return text.lower() if self.preprocessing.lowercase else text

    def to_json(self) -> dict[str, Any]:
        """The rules as plain values."""
        return {
            "preprocessing": asdict(self.preprocessing),
            "source_limit": self.source_limit,
            "limit": asdict(self.limit),
        }

    @classmethod
    def from_json(cls, values: Any) -> TextRules:
        """Inverse of ``to_json``; TypeError, KeyError or ValueError where ``values`` are something else."""
        preprocessing, limit, source_limit = (
            values["preprocessing"],
            values["limit"],
            values["source_limit"],
        )
        if (
            not all(isinstance(flag, bool) for flag in preprocessing.values())
            or type(source_limit) is not int
        ):
            raise TypeError("a value has another type")
        return cls(Preprocessing(**preprocessing), source_limit, Limit(**limit))


class Model:
    """A policy with its vocabulary and its text rules.

    Args:
        policy: generates.
        architecture: ``{"name": …, "settings": {…}}``, from which the policy can be built again.
        vocabulary: of its sources and outputs.
        rules: how text becomes a source, and how long an output may be.
    """

    def __init__(
        self, policy: Any, architecture: dict[str, Any], vocabulary: Vocabulary, rules: TextRules
    ) -> None:
        self.policy, self.architecture, self.vocabulary, self.rules = (
            policy,
            architecture,
            vocabulary,
            rules,
        )

    @classmethod
    def of(cls, policy: Any, name: str, settings: dict[str, Any], task: Task) -> Model:
        """The policy that ``name`` and ``settings`` have built, with the vocabulary and the rules of ``task``."""
        return cls(
            policy, {"name": name, "settings": settings}, task.vocabulary, TextRules.of(task)
        )

    def generate(
        self,
        texts: Sequence[str],
        beam: int = 1,
        length_penalty: float = 1.0,
        precision: str = "float32",
    ) -> list[str]:
        """One output for each of ``texts``.

        Args:
            texts: raw text, one source each.
            beam: beam width; 1 is greedy.
            length_penalty: of a beam search.
            precision: "float32" or "bf16".
        """
        if isinstance(texts, str):
            raise UserError(
                "generate takes a list of texts; a text alone would be one output for each of its characters"
            )
        device = next(self.policy.parameters()).device
        decoder = Decoder(self.policy, beam, precision, str(device), length_penalty)
        sources = [self._source(text) for text in texts]
        split = Split(
            sources, [np.array([EOS])] * len(sources), Pairs(list(texts), [("",)] * len(sources))
        )
        outputs = [""] * len(sources)
        for batch in sequential_batches(split, TOKENS, self.rules.limit):
            actions = decoder(batch.source, batch.limit).action.tolist()
            for row, action in zip(batch.index.tolist(), actions, strict=True):
                outputs[row] = self.vocabulary.decode(action)
        return outputs

    def _source(self, text: str) -> np.ndarray:
        ids = self.vocabulary.encode(self.rules.normalize(text))
        return np.array([*ids[: self.rules.source_limit - 1], EOS], dtype=np.int64)

    def save(self, folder: Path | str) -> None:
        """Write the weights and the vocabulary into ``folder``."""
        self.vocabulary.save(Path(folder) / VOCABULARY)
        save_tensors(
            Path(folder) / WEIGHTS,
            self.policy.state_dict(),
            _header(self.architecture, self.vocabulary, self.rules),
        )

    @classmethod
    def load(cls, folder: Path | str) -> Model:
        """The model in ``folder``, saved or a run's student, in evaluation mode; the corpus is not needed.

        Raises:
            UserError: there is none, or it is damaged, or of another version of this project.
        """
        vocabulary = Vocabulary.load(Path(folder) / VOCABULARY)
        policy, header = load_policy(Path(folder), vocabulary)
        try:
            rules = TextRules.from_json(header["text"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            path = Path(folder) / WEIGHTS
            raise UserError(
                f"{path} does not say how text becomes tokens ({error}); train it again"
            ) from error
        return cls(policy.eval().requires_grad_(False), header["architecture"], vocabulary, rules)


def describe(name: str, settings: dict[str, Any], task: Task) -> dict[str, Any]:
    """The header that every checkpoint of this policy carries, from which ``Model.load`` builds it again."""
    return _header({"name": name, "settings": settings}, task.vocabulary, TextRules.of(task))


def _header(
    architecture: dict[str, Any], vocabulary: Vocabulary, rules: TextRules
) -> dict[str, Any]:
    return {
        "architecture": architecture,
        "vocabulary": vocabulary.fingerprint,
        "text": rules.to_json(),
    }


def build_policy(name: str, settings: dict[str, Any], vocabulary: Vocabulary, seed: int) -> Any:
    """A fresh policy of the architecture that the command line calls ``name``; ``seed`` alone decides its weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(find_policy(name).func, settings, vocabulary_size=len(vocabulary))


def load_policy(folder: Path, vocabulary: Vocabulary) -> tuple[Any, dict[str, Any]]:
    """The policy in ``folder``, of a run its best student, and its checkpoint's header.

    Raises:
        UserError: there is none, it is damaged or of another version, or its vocabulary is not ``vocabulary``.
    """
    if not folder.is_dir():
        raise UserError(f"no run folder at {folder}")
    path = folder / WEIGHTS
    try:
        tensors, header = load_tensors(path)
    except CorruptFileError as error:
        raise CorruptFileError(f"{error}: {_remedy(folder)}") from error
    name, chosen = _architecture(header, path)
    if header["vocabulary"] != vocabulary.fingerprint:
        raise UserError(
            f"{path} has another vocabulary ({header['vocabulary']}) than this corpus ({vocabulary.fingerprint}, "
            f"{len(vocabulary)} tokens): give it the corpus and env.vocabulary it was trained with"
        )
    try:
        policy = build_policy(name, chosen, vocabulary, seed=0)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path}: no {name} can be built from its settings ({str(error).splitlines()[0]})"
        ) from error
    load_weights(policy, tensors, path)
    return policy, header


def _architecture(header: dict[str, Any], path: Path) -> tuple[str, dict[str, Any]]:
    """Name and settings of the policy; UserError unless ``header`` has them, and they are known."""
    described = header.get("architecture")
    described = described if isinstance(described, dict) else {}
    name, chosen = described.get("name"), described.get("settings")
    if not (
        isinstance(name, str)
        and isinstance(chosen, dict)
        and isinstance(header.get("vocabulary"), str)
    ):
        raise UserError(f"{path} does not say what policy it holds; name the folder of a run")
    try:
        known = settings(find_policy(name), POLICY)
    except UserError:
        known = {}
    if not known or chosen.keys() - known:
        raise UserError(
            f"{path} is of another version of this project: there is no {name} with {', '.join(chosen)} now"
        )
    return name, chosen


def _remedy(folder: Path) -> str:
    """What to do about damaged weights in ``folder``."""
    if (folder / "config.yaml").is_file():
        return f"restore a copy; or delete it and repeat the run's command with out={folder} resume=true"
    return f"restore a copy; or delete {folder} and repeat the command that made it"


def fingerprint(policy: nn.Module) -> str:
    """16 hex digits over every weight and its name."""
    digest = blake2b(digest_size=8)
    for name, tensor in policy.state_dict().items():
        digest.update(name.encode())
        digest.update(
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
