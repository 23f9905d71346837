"""Greedy search, sampling, beam search, rollouts."""
