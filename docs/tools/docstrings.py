"""Docstrings as the reference shows them: equations drawn, and short sections as paragraphs.

An extension of griffe, which mkdocstrings reads the code by.
"""

import re
from typing import Any

import griffe

from docs.tools import api, equations

_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Source|Examples|Attributes):", re.MULTILINE)
_SHORT = re.compile(r"^(Returns|Raises|Yields|Source): ", re.MULTILINE)
_NAME = re.compile(r"`([a-z]+\.\w+)`")
_LIST = re.compile(r"\s|[-*|>]|\d+\. ")


def shown(text: str) -> str:
    """Returns a docstring as Markdown of the Google style."""
    first = _SECTION.search(text)
    end = first.start() if first else len(text)
    description, sections = text[:end].rstrip(), text[end:]
    paragraphs = [_paragraph(part) for part in re.split(r"\n\s*\n", description)]
    # Each of "Returns: ..." in one line is a paragraph of its own.
    sections, examples, code = _SHORT.sub(_shortened, sections).partition("Examples:")
    return "\n\n".join([*paragraphs, _escaped(sections) + examples + code]).strip()


def _paragraph(text: str) -> str:
    if text.startswith(">>>"):
        return f"```pycon\n{text}\n```"
    return _escaped(text if _LIST.match(text) else equations.paragraph(text.strip()))


def _shortened(match: re.Match[str]) -> str:
    return f"\n**{match[1]}:** "


def _escaped(text: str) -> str:
    """Returns a text whose public names are links, and whose shapes, as in [N][K], are none."""
    return _NAME.sub(_linked, re.sub(r"\](\s?)\[", r"]\1\\[", text))


def _linked(match: re.Match[str]) -> str:
    anchor = api.anchor(match[1])
    return f"[{match[0]}][{anchor}]" if anchor else match[0]


class Docstrings(griffe.Extension):
    """Rewrites the docstring of every object as it is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrites one."""
        if obj.docstring is not None:
            obj.docstring.value = shown(obj.docstring.value)
