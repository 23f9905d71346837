"""Renders conversations with a chat template: a script that ``chat_template`` runs as a process.

A template comes with a model folder, so it is untrusted. It runs in Jinja's immutable sandbox, in
which it reaches its arguments alone; this process bounds its memory and its parent its time.

Standard input has one JSON object: the template, its variables and the conversations. Standard
output gets a list with the text of each, or with ``{"error": …}``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from jinja2 import Template, nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY = 2 * 2**30  # bytes
MAX_RENDERED = 400_000  # characters
TODAY = datetime(2024, 7, 26, tzinfo=UTC)  # the same every day, so that a run can be resumed


class Generation(Extension):
    """``{% generation %} … {% endgeneration %}`` around an assistant turn: its content."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        """See ``Extension.parse``."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("content"), [], [], body).set_lineno(line)

    def content(self, caller: Callable[[], str]) -> str:
        """The text of the block."""
        return caller()


def compiled(template: str) -> Template:
    """The template, with the extensions and functions that transformers gives it."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals |= {"raise_exception": refuse, "strftime_now": TODAY.strftime}
    return environment.from_string(template)


def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    """JSON without the escapes of HTML that Jinja's own filter makes."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def refuse(message: str) -> None:
    """Let a template refuse a conversation."""
    raise TemplateError(message)


def failure(error: Exception) -> dict[str, str]:
    """What went wrong; the template's own words if it refuses."""
    kind = "" if type(error) is TemplateError else f"{type(error).__name__}: "
    return {"error": f"{kind}{error}"[:200]}


def render_chat(
    template: Template, messages: list[dict[str, str]], variables: dict[str, Any]
) -> Any:
    """The text of a conversation, or ``{"error": …}``."""
    try:
        text = template.render(messages=messages, tools=None, documents=None, **variables)
    except Exception as error:  # whatever a template does
        return failure(error)
    if len(text) > MAX_RENDERED:
        return {"error": f"it makes {len(text):,} characters of it, at most {MAX_RENDERED:,}"}
    return text


def main() -> None:
    """Read the job, render, write the texts."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError, OSError):  # not on every system
        pass
    job = json.load(sys.stdin)
    try:
        template = compiled(job["template"])
    except Exception as error:  # a syntax error
        json.dump([failure(error)] * len(job["jobs"]), sys.stdout)
        return
    variables = job["variables"]
    texts = [
        render_chat(template, messages, {**variables, "add_generation_prompt": prompt})
        for messages, prompt in job["jobs"]
    ]
    json.dump(texts, sys.stdout)


if __name__ == "__main__":
    main()
