"""The experts: a trained policy, references, exact, noisy, cached.

An oracle can be queried at any state, also at prefixes that it would never have generated (Lin et
al. 2020, section 2). Everywhere ``source`` is ``[B, S]`` with PAD after its EOS, ``prefix`` is
``[B, T]`` and holds the token *before* each step (BOS first, as ``Batch.prefix``), and a bool
``mask`` ``[B, T]``, beside the prefix or on the CPU, selects the positions to answer, in row-major order.
"""
