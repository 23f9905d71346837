"""What a run says for itself: the table in the terminal, curves, samples and one page."""

from agents.report.facts import scores
from agents.report.folder import read_metrics, write
from agents.report.page import html
from agents.report.plots import curves
from agents.report.text import samples_text, table

__all__ = ["curves", "html", "read_metrics", "samples_text", "scores", "table", "write"]
