"""What a run says for itself: the table in the terminal, curves, samples and one page."""

from agents.reporting.facts import scores
from agents.reporting.folder import read_metrics, write
from agents.reporting.page import html
from agents.reporting.plots import curves
from agents.reporting.text import samples_text, table

__all__ = ["curves", "html", "read_metrics", "samples_text", "scores", "table", "write"]
