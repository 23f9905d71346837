"""Experts: a trained policy, references, exact, noisy, cached.

An oracle can be queried in any state, including prefixes that it would never generate (Lin et al.
2020, section 2). Everywhere, ``source`` is ``[B, S]``, padded with PAD after its EOS, and
``prefix`` is ``[B, T]`` and holds the token *before* each step (BOS first, like ``Batch.prefix``).
A bool ``mask`` ``[B, T]``, on the prefix's device or on the CPU, selects the positions to answer,
in row-major order.
"""
