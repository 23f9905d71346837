"""``Plan``: an algorithm with its settings and those of the trainer. It trains a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from agents.algorithms.base import Algorithm
from agents.discovery import ALGORITHM, find_algorithm, settings
from agents.evaluation.validation import validator
from agents.generation.decoding import DECODER_VERSION
from agents.model import PRETRAINED, VOCABULARY, Model, checkpoint_header
from agents.policies.saving import save_files, save_weights
from agents.precision import resolve_device, resolve_precision
from agents.runs.config import epochs_to_steps
from agents.runs.demonstrations import training_demonstrations
from agents.runs.training import check_oracle, make_algorithm, training_reward
from agents.text import TextSettings
from agents.training.saving import Checkpoints
from agents.training.trainer import TrainConfig, train_policy
from textgen_env.data.batching import Batches
from textgen_env.data.split import Split
from textgen_env.envs.rewards import Function
from textgen_env.errors import Range, UserError, check_kind, check_range, unknown
from textgen_env.oracles.exact import ExactOracle
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.oracles.texts import TextOracle
from textgen_env.tasks.task import Task
from textgen_env.types import Oracle

AlgorithmChoice = str | Callable[..., Algorithm]

STEPS = 1000
COUNT = Range(1, 10**9)
RANGES = {
    **dict.fromkeys(("steps", "batch_tokens", "validations", "validation_rows"), COUNT),
    "lr": Range(0, 100, "least"),
    "epochs": Range(0, 10**6, "least"),
    "warmup": Range(0, 10**9),
    "clip": Range(0, 10**6, "least"),
    "seed": Range(0, 2**32 - 1),
    "length_penalty": Range(0, 100),
}


@dataclass(frozen=True)
class Plan:
    """How to train a model.

    Attributes:
        algorithm: an ``Algorithm`` with its settings.
        config: the trainer's settings.
        batch_tokens: target tokens per batch, padding included.
        validation_rows: maximum number of validation sentences.
        reward: name of a reward, or a function; None: the task's.
        epochs: passes over the training data, instead of ``config.steps``; None: those steps.
        length_penalty: of the beam search for the teacher's demonstrations.
    """

    algorithm: partial[Algorithm]
    config: TrainConfig
    batch_tokens: int = 4096
    validation_rows: int = 250
    reward: str | Function | None = None
    epochs: float | None = None
    length_penalty: float = 1.0

    @classmethod
    def from_settings(cls, algorithm: AlgorithmChoice, chosen: dict[str, Any]) -> Plan:
        """Sort ``chosen`` into the settings of the algorithm, of the trainer and of the plan.

        Raises:
            UserError: a name is unknown or has two meanings, or a value is invalid.
        """
        function = _find(algorithm)
        of_algorithm, of_trainer = settings(function, ALGORITHM), _defaults(TrainConfig)
        of_trainer |= {"steps": STEPS, "device": "auto", "precision": "auto"}
        of_plan = _defaults(cls)
        others = of_trainer.keys() | of_plan.keys()
        known = of_algorithm | of_trainer | of_plan
        for name, value in chosen.items():
            if name not in known:
                raise unknown(f"setting of {_name(function)} or the trainer", name, known)
            if name in others & of_algorithm.keys() - function.keywords.keys():
                kind = function.func.__name__
                raise UserError(
                    f"{name}= is a setting of the trainer and of {kind}: bind that of {kind} with "
                    f"algorithm=functools.partial({kind}, {name}=…); {name}= is the other one then"
                )
            check_kind(name, value, known[name])
            if name in RANGES and value is not None:
                check_range(name, value, RANGES[name])
        if "steps" in chosen and chosen.get("epochs") is not None:
            raise UserError("steps= and epochs=: give one of them")
        trainer = of_trainer | {name: chosen[name] for name in chosen if name in of_trainer}
        trainer["device"] = resolve_device(trainer["device"])
        trainer["precision"] = resolve_precision(trainer["precision"], trainer["device"])
        own = {name: value for name, value in chosen.items() if name not in others}
        plan = {name: value for name, value in chosen.items() if name in of_plan}
        return cls(partial(function, **own), TrainConfig(**trainer), **plan)

    def run(self, model: Model, task: Task, oracle: Oracle | None, folder: Path) -> Model:
        """Train ``model`` in place.

        Args:
            model: ends with the weights of its best validation.
            task: the texts.
            oracle: the teacher; None if there is none.
            folder: for checkpoints and metrics; a saved model, when training ends.

        Returns:
            ``model``.
        """
        _check_model(model, task)
        policy, config = model.policy.to(self.config.device).requires_grad_(True), self.config
        algorithm = self._build(policy, task, oracle)
        if algorithm.needs_start and not model.trained:
            raise UserError(
                f"{_name(self.algorithm)} improves a model that can already generate: train it "
                "first, for example with algorithm='mle', or pass cold_start=True"
            )
        split = self._training_split(algorithm.demonstrations, task, oracle)
        task.vocabulary.save(folder / VOCABULARY)
        save_files(policy, folder / PRETRAINED)
        batches = Batches(split, self.batch_tokens, config.seed, task.limit)
        if self.epochs is not None:
            config = replace(config, steps=epochs_to_steps(self.epochs, batches, algorithm))
        train_policy(
            algorithm,
            policy,
            batches,
            validator(policy, task, self.validation_rows, config.precision, config.device),
            replace(config, validate_first=model.trained),
            Checkpoints(folder, "model", self._header(model, task)),
        )
        policy.eval()
        save_weights(policy, folder / PRETRAINED)
        model.trained, model.text_settings = True, TextSettings.from_task(task)
        return model

    def _build(self, policy: Any, task: Task, oracle: Oracle | None) -> Algorithm:
        """The algorithm with the policy, oracle and reward that its constructor names."""
        function, reward = self.algorithm.func, None
        parameters = inspect.signature(function).parameters
        if "oracle" in parameters and oracle is None:
            raise UserError(f"{_name(self.algorithm)} needs a teacher: call agents.distill")
        check_oracle(_name(self.algorithm), function, self.reward or task.reward, oracle)
        if "reward" in parameters:
            reward = training_reward(self.reward or task.reward, task, oracle)
        return make_algorithm(function, self.algorithm.keywords, policy, oracle, reward)

    def _training_split(self, demonstrations: str, task: Task, oracle: Oracle | None) -> Split:
        """The training split, with the teacher's outputs as targets if the algorithm needs them."""
        if demonstrations == "references":
            return task.splits["train"]
        kinds = PolicyOracle | ExactOracle | TextOracle  # their outputs can be cached
        if not isinstance(oracle, kinds):
            given = f", not of a {type(oracle).__name__}" if oracle else ": call agents.distill"
            raise UserError(
                f"{_name(self.algorithm)} learns from the outputs of a Model as teacher{given}"
            )
        machine = self.config.precision, self.config.device
        arguments = demonstrations, task, oracle, *machine, self.length_penalty
        return training_demonstrations(*arguments).split

    def _header(self, model: Model, task: Task) -> dict[str, Any]:
        """Describes the training in its checkpoints; a resume fails if it differs."""
        architecture = model.architecture["name"], model.architecture["settings"]
        chosen = {name: repr(value) for name, value in self.algorithm.keywords.items()}
        return {
            **checkpoint_header(*architecture, task),
            "algorithm": _name(self.algorithm),
            "settings": chosen,
            "corpus": task.corpus.fingerprint,
            "seed": self.config.seed,
            "decoder": DECODER_VERSION,
        }


def _defaults(settings: type) -> dict[str, Any]:
    """``{name: default}`` of the fields of a dataclass that a user may set."""
    hidden = "algorithm", "config", "validate_first"
    return {field.name: field.default for field in fields(settings) if field.name not in hidden}


def _find(algorithm: AlgorithmChoice) -> partial[Algorithm]:
    """The algorithm with its settings; UserError if it is none."""
    if isinstance(algorithm, str):
        return find_algorithm(algorithm)
    function = partial(algorithm)
    if not (isinstance(function.func, type) and issubclass(function.func, Algorithm)):
        raise UserError(
            f"algorithm={algorithm!r}: expected a name, a subclass of agents.Algorithm, "
            "or a functools.partial of one"
        )
    return function


def _name(algorithm: partial[Algorithm]) -> str:
    return f"{algorithm.func.__module__}.{algorithm.func.__qualname__}"


def _check_model(model: Model, task: Task) -> None:
    """UserError unless ``model`` can be trained on ``task``."""
    if model.vocabulary.fingerprint != task.vocabulary.fingerprint:
        raise UserError(
            f"the model's {len(model.vocabulary):,} tokens are not the task's "
            f"{len(task.vocabulary):,}: build the model for this task, or train it on "
            "task.with_vocabulary(model.vocabulary)"
        )
