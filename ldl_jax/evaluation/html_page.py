"""Tables and a figure as one HTML file that needs no other."""

import base64
import html
from collections.abc import Sequence

_STYLE = (
    "body{font:15px sans-serif;margin:2em}td,th{padding:2px 8px;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}"
    "table{border-collapse:collapse}img{max-width:100%}"
)


def page(
    title: str,
    facts: Sequence[str],
    tables: Sequence[tuple[str, Sequence[Sequence[str]], str]],
    note: str,
    figure: bytes,
) -> str:
    """Returns a page.

    Args:
      title: above all.
      facts: a list below it.
      tables: of each its title, its cells as `cells.markdown` gives them, the headings first, and
        what of it is not computed yet.
      note: below the tables.
      figure: a PNG, or nothing.
    """
    body = [f"<h1>{html.escape(title)}</h1>", "<ul>"]
    body += [f"<li>{html.escape(fact)}</li>" for fact in facts] + ["</ul>"]
    for heading, lines, missing in tables:
        body.append(f"<h2>{html.escape(heading)}</h2>")
        if len(lines) > 1:
            kinds = ("th", *["td"] * (len(lines) - 1))
            rows = [
                "<tr>" + "".join(f"<{kind}>{_plain(text)}</{kind}>" for text in line) + "</tr>"
                for kind, line in zip(kinds, lines, strict=True)
            ]
            body += ["<table>", *rows, "</table>"]
        body += [f"<p>Not computed yet: {html.escape(missing)}.</p>"] if missing else []
    body.append(f"<p>{html.escape(_plain(note))}</p>")
    if figure:
        source = base64.b64encode(figure).decode()
        body.append(f'<img alt="differences of MAE" src="data:image/png;base64,{source}">')
    head = f"<meta charset=utf-8><title>{html.escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(body)}</body></html>\n"


def _plain(text: str) -> str:
    """Returns a Markdown cell, which is escaped for HTML already, without Markdown's escapes."""
    return text.replace("\\", "")
