"""Benchmarks of ``experiments/bench.py``: ``suites`` compare ``contenders`` in own processes."""
