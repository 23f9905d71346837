"""Policies, one architecture per file; ``NAMES`` of a module are its names on the command line."""

from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.pretrained import load_pretrained
from agents.policies.rnn import RNN
from agents.policies.transformer import Transformer

__all__ = ["RNN", "HuggingFacePolicy", "Transformer", "load_pretrained"]
