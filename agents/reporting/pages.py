"""Renders Jinja2 templates: values are escaped for HTML, and control characters made visible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from textgen_env.terminal import escape_controls

FOLDER = Path(__file__).parent


def render(template: str, values: dict[str, Any]) -> str:
    """Render the file ``template`` of this folder with ``values``."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=select_autoescape(["html.jinja"]),
        finalize=_finalize,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template(template).render(values)


def _finalize(value: Any) -> Any:
    return value if hasattr(value, "__html__") else escape_controls(str(value), "\n\t")
