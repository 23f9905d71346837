"""A vocabulary out of somebody else's tokenizer: the same tokens for the same text, under ids of this project's order."""

from __future__ import annotations

import json
from typing import Any

from textgen_env.data.vocabulary import SPECIALS, Vocabulary
from textgen_env.errors import UserError
from textgen_env.types import UNK

PLAIN = {
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": True,
}


def convert_tokenizer(text: str, eos: str) -> tuple[Vocabulary, list[int | None]]:
    """A tokenizer's JSON (Hugging Face's ``tokenizer.json``) → the vocabulary, and the tokenizer's id for each of its ids.

    EOS is the token ``eos`` and UNK the model's unknown token, both under this project's names.  PAD, BOS and, where the model
    knows every text, UNK have no id there (None).  All other special tokens are left out: no text contains them, so neither
    should what a student generates.  The other tokens keep their order.  UserError when there is no such ``eos``.
    """
    spec = json.loads(text)
    model, added = spec["model"], {entry["content"]: entry for entry in spec["added_tokens"]}
    own, unknown = _ids(model), _unknown(model)
    theirs = own | {token: entry["id"] for token, entry in added.items()}
    if eos not in theirs:
        raise UserError(f"the tokenizer has no token {eos!r} to end a sequence with")
    special = {
        eos,
        unknown,
        *SPECIALS,
        *(token for token, entry in added.items() if entry["special"]),
    }
    kept = sorted(own.keys() - special, key=own.__getitem__)
    outside = sorted(
        added.keys() - own.keys() - special, key=theirs.__getitem__
    )  # of the model; their ids follow its own
    ours = {token: index for index, token in enumerate((*SPECIALS, *kept, *outside))}

    _renumber(model, [*SPECIALS, *kept])
    specials = [{"id": index, "content": token, **PLAIN} for index, token in enumerate(SPECIALS)]
    spec["added_tokens"] = specials + [
        {**added[token], "id": ours[token]} for token in ours if token in added.keys() - special
    ]
    spec |= {
        "post_processor": None,
        "truncation": None,
        "padding": None,
    }  # they are about whole sequences, not about text
    ids: list[int | None] = [
        None,
        None,
        theirs[eos],
        None if unknown in (None, eos) else theirs.get(unknown),
    ]
    return Vocabulary.from_json(json.dumps(spec)), ids + [
        theirs[token] for token in (*kept, *outside)
    ]


def _ids(model: dict[str, Any]) -> dict[str, int]:
    """``{token: id}``; Unigram's ids are places in a list of (token, score)."""
    vocab = model["vocab"]
    return (
        dict(vocab)
        if isinstance(vocab, dict)
        else {token: index for index, (token, _) in enumerate(vocab)}
    )


def _unknown(model: dict[str, Any]) -> str | None:
    if model["type"] != "Unigram":
        return model.get("unk_token") or None
    return None if model["unk_id"] is None else model["vocab"][model["unk_id"]][0]


def _renumber(model: dict[str, Any], tokens: list[str]) -> None:
    """Give ``model`` the ids of this order; what it takes for unknown becomes UNK."""
    knows_all = _unknown(model) is None
    if model["type"] == "Unigram":
        scores = dict(model["vocab"]) | dict.fromkeys(SPECIALS, 0.0)
        model |= {
            "vocab": [[token, scores[token]] for token in tokens],
            "unk_id": None if knows_all else UNK,
        }
    else:
        unknown = None if knows_all else SPECIALS[UNK]
        model |= {
            "vocab": {token: index for index, token in enumerate(tokens)},
            "unk_token": unknown,
        }
