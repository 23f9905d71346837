"""Estimators for learning from rewards: returns, advantages, baselines and costs-to-go."""
