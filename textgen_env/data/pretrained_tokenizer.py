"""Convert a pretrained tokenizer to a ``Vocabulary``: the same tokens with other ids."""

from __future__ import annotations

import json
from typing import Any

from textgen_env.data.vocabulary import SPECIALS, Vocabulary
from textgen_env.errors import UserError
from textgen_env.types import BOS, EOS, UNK

# Flags of an added token that matches its exact text only.
PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


def convert_tokenizer(text: str, eos: str) -> tuple[Vocabulary, list[int | None]]:
    """Convert a ``tokenizer.json`` to a vocabulary whose first ids are PAD, BOS, EOS and UNK.

    The tokenizer's EOS and UNK tokens take this project's names. All other tokens keep their order.
    Special tokens are kept, because chat templates use them; ``Vocabulary.decode`` leaves them out.
    Another token with the name of one of ``SPECIALS`` is dropped.

    Args:
        text: The JSON.
        eos: The token that ends a sequence.

    Returns:
        The vocabulary, and for each of its ids the tokenizer's id: None for PAD, for BOS if no
        token is called so, and for UNK if the tokenizer can encode any text.

    Raises:
        UserError: The tokenizer has no token ``eos``.
    """
    spec = json.loads(text)
    model, added = spec["model"], {entry["content"]: entry for entry in spec["added_tokens"]}
    model_ids, unknown = _ids(model), _unknown(model)
    old_ids = model_ids | {token: entry["id"] for token, entry in added.items()}
    if eos not in old_ids:
        raise UserError(f"the tokenizer has no token {eos!r} to end a sequence with")
    dropped = {eos, unknown, *SPECIALS}
    kept = sorted(model_ids.keys() - dropped, key=model_ids.__getitem__)
    # tokens added to the model; their ids follow those of the model
    extra = sorted(added.keys() - model_ids.keys() - dropped, key=old_ids.__getitem__)
    new_ids = {token: index for index, token in enumerate((*SPECIALS, *kept, *extra))}

    _renumber(model, [*SPECIALS, *kept])
    flags = {EOS: added.get(eos, {}), UNK: added.get(unknown, {})}  # such as lstrip
    specials = [
        {**PLAIN, **flags.get(index, {}), "id": index, "content": token, "special": True}
        for index, token in enumerate(SPECIALS)
    ]
    spec["added_tokens"] = specials + [
        {**added[token], "id": new_ids[token]}
        for token in new_ids
        if token in added.keys() - dropped
    ]
    # these change whole sequences, not the tokens of a text
    spec |= {"post_processor": None, "truncation": None, "padding": None}
    unknown_id = None if unknown in (None, eos) else old_ids.get(unknown)
    bos_id = None if SPECIALS[BOS] in (eos, unknown) else old_ids.get(SPECIALS[BOS])
    ids = [None, bos_id, old_ids[eos], unknown_id, *(old_ids[token] for token in (*kept, *extra))]
    return Vocabulary.from_json(json.dumps(spec)), ids


def special_names(text: str, eos: str) -> tuple[str | None, ...]:
    """What a tokenizer calls PAD, BOS, EOS and UNK, before ``convert_tokenizer``, or None."""
    spec = json.loads(text)
    unknown, names = _unknown(spec["model"]), {entry["content"] for entry in spec["added_tokens"]}
    names |= _ids(spec["model"]).keys()
    bos = SPECIALS[BOS] if SPECIALS[BOS] in names - {eos, unknown} else None
    return None, bos, eos, None if unknown == eos else unknown


def special_tokens(text: str) -> set[str]:
    """The special tokens of a ``tokenizer.json``."""
    return {entry["content"] for entry in json.loads(text)["added_tokens"] if entry["special"]}


def _ids(model: dict[str, Any]) -> dict[str, int]:
    """``{token: id}``; a Unigram model has a list of (token, score) in the order of the ids."""
    vocab = model["vocab"]
    if isinstance(vocab, dict):
        return dict(vocab)
    return {token: index for index, (token, _) in enumerate(vocab)}


def _unknown(model: dict[str, Any]) -> str | None:
    """The model's unknown token, if it has one."""
    if model["type"] != "Unigram":
        return model.get("unk_token") or None
    return None if model["unk_id"] is None else model["vocab"][model["unk_id"]][0]


def _renumber(model: dict[str, Any], tokens: list[str]) -> None:
    """Give ``tokens`` the ids 0, 1, …, and rename the unknown token, if any, to UNK."""
    has_unknown = _unknown(model) is not None
    if model["type"] == "Unigram":
        scores = dict(model["vocab"]) | dict.fromkeys(SPECIALS, 0.0)
        model["vocab"] = [[token, scores[token]] for token in tokens]
        model["unk_id"] = UNK if has_unknown else None
    else:
        model["vocab"] = {token: index for index, token in enumerate(tokens)}
        model["unk_token"] = SPECIALS[UNK] if has_unknown else None
