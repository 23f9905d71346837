"""The experts: a policy, references, exact, noisy, cached."""
