"""Model: a policy with its vocabulary and text settings. It generates, saves and loads.

A run folder stores its student as a model: the weights, with architecture and text settings in the
header of the safetensors file, and the vocabulary beside them. Nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from agents.discovery import POLICY, build, find_policy, settings
from agents.generation.decoder import Decoder
from agents.policies.saving import save_files, save_weights
from agents.text import Sources, TextSettings
from agents.training.checkpoint import check_layout, load_tensors, load_weights, save_tensors
from textgen_env.data.batching import sequential_batches
from textgen_env.data.chat_template import ChatTemplate
from textgen_env.data.corpus import Pairs
from textgen_env.data.files import CorruptFileError
from textgen_env.data.schema import check
from textgen_env.data.split import Split
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.imports import check_named
from textgen_env.tasks.task import Task
from textgen_env.types import EOS

WEIGHTS, VOCABULARY = Path("checkpoints", "best.safetensors"), Path("vocabulary.json")
PRETRAINED = Path("model")  # of a Hugging Face model: what transformers opens
INTERFACE = ("vocabulary_size", "feature_width", "features", "head", "start", "step")  # of Policy
HEADER = {
    "architecture": {"name": str, "settings": {"*": object}},
    "vocabulary": str,
    "*": object,
}
MAX_BATCH_TOKENS = 4096  # source tokens per decoding batch, padding included


class Hypothesis(NamedTuple):
    """An output and the sum of its tokens' log-probabilities."""

    text: str
    score: float


class Model:
    """A policy with its vocabulary and text settings.

    Args:
        policy: the policy that generates.
        architecture: ``{"name": …, "settings": {…}}``, from which the policy can be rebuilt.
        vocabulary: shared by sources and outputs.
        text_settings: how text is turned into a source, and how long an output may be.

    Attributes:
        trained: False while the weights are still random.
    """

    trained = True

    def __init__(
        self,
        policy: Any,
        architecture: dict[str, Any],
        vocabulary: Vocabulary,
        text_settings: TextSettings,
    ) -> None:
        self.policy, self.architecture = policy, architecture
        self.vocabulary, self.text_settings = vocabulary, text_settings

    @classmethod
    def from_task(cls, policy: Any, name: str, settings: dict[str, Any], task: Task) -> Model:
        """Wrap ``policy``, built by ``build_policy(name, settings, …)`` for ``task``."""
        architecture = {"name": name, "settings": settings}
        return cls(policy, architecture, task.vocabulary, TextSettings.from_task(task))

    def generate(
        self,
        texts: Sequence[str],
        beam: int = 1,
        length_penalty: float = 1.0,
        precision: str = "float32",
    ) -> list[str]:
        """Generate one output per text.

        Args:
            texts: raw source texts; of a chat model, messages of a user, or conversations as JSON
                lists of messages.
            beam: beam width; 1 decodes greedily.
            length_penalty: length penalty of the beam search.
            precision: "float32" or "bf16".
        """
        if isinstance(texts, str):
            raise UserError("generate() expects a list of texts and got one string; pass [text]")
        decoder = self.decoder(precision, beam=beam, length_penalty=length_penalty)
        return [best.text for best, *_ in self.hypotheses(texts, decoder)]

    def decoder(self, precision: str = "float32", beam: int = 1, **search: Any) -> Decoder:
        """A ``Decoder`` for ``hypotheses``; ``search`` are its settings, ``beam`` and others."""
        device = str(next(self.policy.parameters()).device)
        return Decoder(self.policy, beam, precision, device, scored=True, **search)

    def hypotheses(
        self,
        texts: Sequence[str],
        decoder: Decoder,
        numbers: Sequence[int] | None = None,
    ) -> list[list[Hypothesis]]:
        """Generate up to ``decoder.count`` outputs per text, beam outputs best first.

        Args:
            texts: raw source texts.
            decoder: from ``self.decoder``.
            numbers: one per text, which determine its samples; None: 0, 1, 2 …
        """
        sources = self.encode(texts).rows
        no_targets = [np.array([EOS])] * len(sources)
        split = Split(sources, no_targets, Pairs(list(texts), [("",)] * len(sources)))
        outputs: list[list[Hypothesis]] = [[] for _ in sources]
        noise_keys = torch.tensor(range(len(sources)) if numbers is None else numbers)
        for batch in sequential_batches(split, MAX_BATCH_TOKENS, self.text_settings.limit):
            episodes = decoder(batch.source, batch.limit, noise_keys[batch.index])
            index = batch.index.repeat_interleave(decoder.count).tolist()
            actions, scores = episodes.action.tolist(), episodes.score.tolist()
            if np.isnan(scores).any():
                raise UserError("the model's scores are NaN: its weights are not usable")
            for i, action, score in zip(index, actions, scores, strict=True):
                if score > -np.inf:  # a beam may find fewer hypotheses
                    outputs[i].append(Hypothesis(self.vocabulary.decode(action), score))
        return outputs

    def encode(self, texts: Sequence[str]) -> Sources:
        """The normalized texts as tokens with EOS, and what was left out of long ones."""
        return self.text_settings.encode(texts, self.vocabulary)

    def save(self, folder: Path | str) -> None:
        """Save weights and vocabulary; ``model`` in it is for ``AutoModel…`` of Hugging Face."""
        self.vocabulary.save(Path(folder) / VOCABULARY)
        save_files(self.policy, Path(folder) / PRETRAINED)
        save_weights(self.policy, Path(folder) / PRETRAINED)
        header = _header(self.architecture, self.vocabulary, self.text_settings)
        save_tensors(Path(folder) / WEIGHTS, self.policy.state_dict(), header)

    @classmethod
    def load(cls, folder: Path | str) -> Model:
        """Load a saved model or the student of a run, in eval mode, without the corpus.

        Raises:
            UserError: the model is missing, corrupted or of an incompatible version.
        """
        vocabulary = Vocabulary.load(existing_folder(folder) / VOCABULARY)
        policy, header = load_policy(Path(folder), vocabulary)
        text_settings = _text_settings(header, Path(folder) / WEIGHTS)
        policy.eval().requires_grad_(False)
        return cls(policy, header["architecture"], vocabulary, text_settings)


def existing_folder(folder: Path | str) -> Path:
    """``folder`` as a path; UserError unless it is a folder."""
    if not Path(folder).is_dir():
        raise UserError(f"no run folder at {folder}")
    return Path(folder)


def checkpoint_header(name: str, settings: dict[str, Any], task: Task) -> dict[str, Any]:
    """The header of every checkpoint of a policy: what ``Model.load`` needs to rebuild it."""
    architecture = {"name": name, "settings": settings}
    return _header(architecture, task.vocabulary, TextSettings.from_task(task))


def _header(
    architecture: dict[str, Any], vocabulary: Vocabulary, text_settings: TextSettings
) -> dict[str, Any]:
    return {
        "architecture": architecture,
        "vocabulary": vocabulary.fingerprint,
        "text": text_settings.to_json(),
    }


def build_policy(
    name: str,
    settings: dict[str, Any],
    vocabulary: Vocabulary,
    seed: int,
    folder: Path | None = None,
    template: ChatTemplate | None = None,
) -> Any:
    """Build a policy. Random weights depend on ``seed`` alone.

    Args:
        name: the architecture, by its name on the command line.
        settings: keyword arguments of the architecture.
        vocabulary: its size becomes the policy's V.
        seed: seed of the initial weights.
        folder: of a saved Hugging Face model, instead of its ``path``.
        template: of a task of conversations.
    """
    provided = {"vocabulary_size": len(vocabulary), "vocabulary": vocabulary}
    optional = {"folder": folder, "template": template}
    provided |= {key: value for key, value in optional.items() if value is not None}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        policy = build(find_policy(name).func, settings, **provided)
    if missing := [part for part in INTERFACE if not hasattr(policy, part)]:
        raise UserError(f"policy {name} has no {missing[0]}; see textgen_env.types.Policy")
    return policy


def load_policy(folder: Path, vocabulary: Vocabulary) -> tuple[Any, dict[str, Any]]:
    """Load the policy of a model folder, or the best student of a run folder.

    Returns:
        The policy and the header of its checkpoint.

    Raises:
        UserError: the checkpoint is missing, corrupted, of an incompatible version, or of another
            vocabulary.
    """
    path = existing_folder(folder) / WEIGHTS
    try:
        tensors, header = load_tensors(path)
    except CorruptFileError as error:
        raise CorruptFileError(f"{error}: {_recovery_hint(folder)}") from error
    name, kwargs = _architecture(header, path)
    template = _text_settings(header, path).template
    if header["vocabulary"] != vocabulary.fingerprint:
        raise UserError(
            f"{path} was trained with vocabulary {header['vocabulary']}, but this corpus has "
            f"{vocabulary.fingerprint} ({len(vocabulary)} tokens): use the corpus and the "
            "env.vocabulary it was trained with"
        )
    try:
        with torch.device("meta"):  # sizes without memory: the settings may name any size
            empty = build_policy(name, kwargs, vocabulary, 0, folder / PRETRAINED, template)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot build {name} from its settings ({reason})") from error
    check_layout(empty.state_dict(), tensors, f"{path} does not match its settings")
    policy = build_policy(name, kwargs, vocabulary, 0, folder / PRETRAINED, template)
    load_weights(policy, tensors, path)
    return policy, header


def _architecture(header: dict[str, Any], path: Path) -> tuple[str, dict[str, Any]]:
    """Name and settings of the policy; UserError if they are missing or unknown."""
    try:
        check(header, HEADER, "its header")
    except ValueError as error:
        raise UserError(
            f"{path} has no policy metadata ({error}); pass the folder of a run"
        ) from error
    name, kwargs = header["architecture"]["name"], header["architecture"]["settings"]
    check_named("policy", name, path)
    try:
        known = settings(find_policy(name), POLICY)
    except UserError:
        known = {}
    if not known or kwargs.keys() - known:
        raise UserError(
            f"{path} was saved by an incompatible version of this project: "
            f"there is no {name} with {', '.join(kwargs)} in this one"
        )
    return name, kwargs


def _text_settings(header: dict[str, Any], path: Path) -> TextSettings:
    """The text settings of a checkpoint; UserError if they are missing or malformed."""
    try:
        return TextSettings.from_json(header["text"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} has no valid text settings ({error}); train it again") from error


def _recovery_hint(folder: Path) -> str:
    """How to replace corrupted weights in ``folder``."""
    if (folder / "config.yaml").is_file():
        command = f"rerun the command with out={folder} resume=true"
        return f"restore a backup, or delete it and {command}"
    return f"restore a backup, or delete {folder} and rerun the command that made it"


def fingerprint(policy: nn.Module) -> str:
    """A hash of the names and values of all weights and buffers, 16 hex digits."""
    digest = blake2b(digest_size=8)
    for name, tensor in chain(policy.named_parameters(), policy.named_buffers()):
        digest.update(name.encode())
        data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(data.numpy().tobytes())
    return digest.hexdigest()
