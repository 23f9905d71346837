"""A run's report: the terminal table, training curves, sample outputs and an HTML page."""

from agents.reporting.facts import score_entry
from agents.reporting.folder import read_metrics, save_report
from agents.reporting.text import results_table, samples_text

__all__ = ["read_metrics", "results_table", "samples_text", "save_report", "score_entry"]
