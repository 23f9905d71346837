"""Policies, one architecture per file; ``NAMES`` of a module are its names on the command line."""

from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.pretrained import PretrainedSettings, load_pretrained
from agents.policies.rnn import RNNPolicy
from agents.policies.transformer import TransformerPolicy

__all__ = [
    "HuggingFacePolicy",
    "PretrainedSettings",
    "RNNPolicy",
    "TransformerPolicy",
    "load_pretrained",
]
