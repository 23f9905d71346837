"""Returns, baselines and costs to go."""
