"""The T² lab."""
