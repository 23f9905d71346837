"""Smaller copies of a pretrained model: some of its layers, evenly spaced.

A student that starts from layers of its teacher learns much faster than one with random weights
(Sanh et al. 2019, Shleifer and Rush 2020).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from textgen_env.errors import UserError

# Keys of a config that have one entry per layer.
PER_LAYER = ("layer_types", "attention_layers", "no_rope_layers", "attention_window")


def kept_layers(layers: int, count: int) -> list[int]:
    """The ``count`` of ``layers`` layers to keep: evenly spaced, with the first and the last.

    >>> kept_layers(12, 6), kept_layers(12, 1)
    ([0, 2, 4, 7, 9, 11], [0])
    """
    return [round(number * (layers - 1) / max(1, count - 1)) for number in range(count)]


def smaller_config(config: Any, layers: int | None, decoder_layers: int | None) -> Any:
    """A copy of the config of a model with fewer layers.

    Args:
        config: A config of transformers.
        layers: Number of layers, of an encoder–decoder those of the encoder; None: all.
        decoder_layers: Number of decoder layers of an encoder–decoder; None: all.

    Raises:
        UserError: The model has fewer layers, or no decoder layers of their own.
    """
    if layers is None and decoder_layers is None:
        return config
    values = config.to_dict()
    names = _names(config, values)
    for setting, count in (("layers", layers), ("decoder_layers", decoder_layers)):
        if count is None:
            continue
        if setting not in names:
            raise UserError(f"{setting}={count}: only an encoder-decoder has it; use layers")
        before = values[names[setting]]
        if not 1 <= count <= before:
            raise UserError(f"{setting}={count}: it has {before}; choose 1 to {before}")
        kept = kept_layers(before, count)
        values[names[setting]] = count
        if setting == "layers" and "num_hidden_layers" in values:  # BART has it twice
            values["num_hidden_layers"] = count
        for key in PER_LAYER:
            if isinstance(values.get(key), list) and len(values[key]) == before:
                values[key] = [values[key][layer] for layer in kept]
        if "attention_types" in values:  # GPT-Neo: patterns and how often each is repeated
            values["attention_types"] = [[values["attention_layers"], 1]]
    return type(config).from_dict(values)


def layer_counts(config: Any) -> list[int]:
    """The number of layers of a model, of an encoder–decoder those of both."""
    values = config.to_dict()
    return [values[name] for name in _names(config, values).values()]


def _names(config: Any, values: dict[str, Any]) -> dict[str, str]:
    """The keys of the config for the settings ``layers`` and ``decoder_layers``."""
    if not config.is_encoder_decoder:
        return {"layers": config.attribute_map.get("num_hidden_layers", "num_hidden_layers")}
    candidates = {
        "layers": ("encoder_layers", "num_encoder_layers", "num_layers"),
        "decoder_layers": ("decoder_layers", "num_decoder_layers"),
    }
    return {
        setting: next(key for key in keys if key in values) for setting, keys in candidates.items()
    }


def keep_layers(model: Any, config: Any) -> Any:
    """A model of the smaller ``config`` with weights of ``model``, of the layers that it keeps.

    Raises:
        UserError: A layer has other weights than the one that it replaces.
    """
    smaller = type(model)(config)
    kept = {
        name: kept_layers(len(model.get_submodule(name)), len(stack))
        for name, stack in smaller.named_modules()
        if isinstance(stack, nn.ModuleList) and len(model.get_submodule(name)) != len(stack)
    }
    weights = model.state_dict()
    try:
        smaller.load_state_dict({key: weights[_source(key, kept)] for key in smaller.state_dict()})
    except (KeyError, RuntimeError) as error:
        kind = config.model_type
        raise UserError(f"the layers of a {kind} model differ; leave layers= out") from error
    smaller.generation_config = model.generation_config
    return smaller


def _source(key: str, kept: dict[str, list[int]]) -> str:
    """The name in the larger model of the weight ``key`` of the smaller one."""
    for stack, layers in kept.items():
        if key.startswith(f"{stack}."):
            number, rest = key.removeprefix(f"{stack}.").split(".", 1)
            return f"{stack}.{layers[int(number)]}.{rest}"
    return key
