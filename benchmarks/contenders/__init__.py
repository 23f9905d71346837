"""One contender per file: a class ``Contender(setup)`` whose methods prepare ``Work`` to time.

Sizes, sentences, batches and the optimizer come from ``material`` and are the same for all
contenders; so are the weights of equal networks.
"""
