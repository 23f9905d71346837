"""Our on-policy distillation beside TRL's ``DistillationTrainer``: loss, time and memory."""
