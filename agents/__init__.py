"""The learners: policies, generation, losses, algorithms, training, evaluation and reports."""

from agents.algorithms import Algorithm
from agents.model import Model
from agents.policies import RNN, HuggingFacePolicy, Transformer, load_pretrained

__all__ = ["RNN", "Algorithm", "HuggingFacePolicy", "Model", "Transformer", "load_pretrained"]
