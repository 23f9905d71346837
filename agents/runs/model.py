"""A trained model by the name it has on the command line: a run folder, or ``hf:MODEL``."""

from __future__ import annotations

from agents.model import Model
from agents.policies.pretrained import load_pretrained
from agents.text import TextSettings
from textgen_env.data.chat_template import ChatTemplate
from textgen_env.data.corpus import Preprocessing
from textgen_env.data.limit import Limit
from textgen_env.errors import UserError

PRETRAINED = "hf:"


def open_model(
    name: str,
    source_prefix: str = "",
    separator: str = "",
    source_limit: int = 512,
    horizon: int = 256,
    template: ChatTemplate | None = None,
) -> Model:
    """Load a model for generation, in float32 on the CPU.

    Args:
        name: a run folder or a saved ``Model``, which bring their own text settings; or
            ``hf:FOLDER_OR_NAME``, to which the other arguments belong.
        source_prefix: text before every source.
        separator: text between source and output of a decoder-only model.
        source_limit: longest source in tokens.
        horizon: longest output in tokens.
        template: for conversations: a template, or ``ChatTemplate()`` for the model's own.

    Raises:
        UserError: the model cannot be loaded.
    """
    if not name.startswith(PRETRAINED):
        return Model.load(name)
    path = name.removeprefix(PRETRAINED)
    if not path:
        raise UserError("run=hf: names no model; write hf:NAME or hf:FOLDER")
    policy = load_pretrained(
        path, source_prefix=source_prefix, separator=separator, template=template
    )
    policy.requires_grad_(False)
    settings = TextSettings(Preprocessing(), source_limit, Limit(horizon), policy.template)
    options = {"path": path, "source_prefix": source_prefix, "separator": separator}
    return Model(policy, {"name": "hf", "settings": options}, policy.vocabulary, settings)
