"""Greedy decoding, sampling, beam search, rollouts, and generation shared by student and expert."""

from agents.generation.beam import beam_search
from agents.generation.decoder import Decoder
from agents.generation.decoding import greedy, sample

__all__ = ["Decoder", "beam_search", "greedy", "sample"]
