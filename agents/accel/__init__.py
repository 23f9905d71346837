"""Optional accelerations on a CPU."""
