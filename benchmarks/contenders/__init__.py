"""One file a contender: a class ``Contender(setup)`` whose methods prepare something that can be timed.

Sizes, sentences, token batches and optimizer are ``material``'s, the same for all; weights too, where the network is the same.
"""
