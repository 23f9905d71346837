"""What ``experiments/bench.py`` measures: ``suites`` compare ``contenders``, each of which works in processes of its own."""
