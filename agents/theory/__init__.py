"""Compounding error in exact numbers and in trained students: where T² comes from."""
