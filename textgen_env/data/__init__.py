"""Corpora: read, validate, split, tokenize, batch and cache text."""
