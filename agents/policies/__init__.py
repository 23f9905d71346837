"""Policies, one architecture per file; ``NAMES`` of a module are its names on the command line."""

from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.pretrained import PretrainedPolicy, load_pretrained
from agents.policies.rnn import RNNPolicy
from agents.policies.transformer import TransformerPolicy

__all__ = [
    "HuggingFacePolicy",
    "PretrainedPolicy",
    "RNNPolicy",
    "TransformerPolicy",
    "load_pretrained",
]
