"""Pages of HTML that need no other file, no program and no network: their style and their tables.

They can be read on a screen and on a phone, in light and in dark, and on paper.
"""

import base64
import html
from collections.abc import Sequence

# The colours are Okabe and Ito's, which stay apart for colour-blind readers; those of the dark
# page are lighter, so that each has a contrast of 3 to 1 or more with what is behind it.
_STYLE = """
:root{color-scheme:light dark;--ink:#1c1c1c;--soft:#555;--line:#ddd;--back:#fff;--card:#f6f7f8;
--blue:#0072b2;--orange:#d55e00;--green:#00795a;--grey:#777}
@media(prefers-color-scheme:dark){:root{--ink:#eaeaea;--soft:#b0b0b0;--line:#3a3d41;--back:#16181a;
--card:#202326;--blue:#56b4e9;--orange:#f08a3c;--green:#2fc49a;--grey:#9a9a9a}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);margin:0 auto;
padding:1.2rem;max-width:66rem;overflow-wrap:break-word}
h1{font-size:1.7rem;line-height:1.2;margin:.2em 0 .6em}
h2{font-size:1.3rem;margin:2em 0 .5em;border-bottom:2px solid var(--line);padding-bottom:.2em}
h3{font-size:1.05rem;margin:1.4em 0 .4em}
p,ul{max-width:46rem}li{margin:.2em 0}
a{color:var(--blue)}a:focus-visible,summary:focus-visible,.wide:focus-visible{outline:2px solid
var(--blue);outline-offset:2px}
nav ul{columns:14rem;padding-left:1.1em;margin:0}nav li{break-inside:avoid;margin:0 0 .2em}
.wide{overflow-x:auto;margin:.6em 0}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums}
td,th{padding:.25em .7em;text-align:right;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;background:var(--card)}
td{white-space:nowrap}
td:first-child,th:first-child,.text{text-align:left}.text{white-space:normal}
tbody th{font-weight:400;background:none}
.note{color:var(--soft);font-size:.9rem}
.warn{border-left:4px solid var(--orange);padding:.3em .8em;background:var(--card)}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,24rem),1fr));
gap:1.2rem;align-items:start}
figure{margin:.6em 0;max-width:34rem;background:var(--card);padding:.8em;border-radius:6px}
figure>svg,img{width:100%;height:auto;display:block}
figcaption{font-size:.88rem;margin-top:.4em}figcaption b{display:block}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.1em 1.2em;padding:0;margin:.3em 0;
font-size:.82rem}.legend svg{vertical-align:-2px;margin-right:.4em}
details{font-size:.88rem;margin-top:.4em}summary{cursor:pointer;color:var(--blue)}
pre{white-space:pre-wrap;font-size:.82rem;background:var(--card);padding:.8em;overflow-wrap:anywhere}
svg text{font-size:12px;fill:var(--soft)}svg .label{fill:var(--ink)}
.grid{stroke:var(--line)}.axis{stroke:var(--soft)}.line{fill:none;stroke-width:2;stroke:var(--c)}
.dashed{stroke-dasharray:6 4}.dot,.bar,.area{fill:var(--c)}.bar{opacity:.75}.area{opacity:.22}
.blue{--c:var(--blue)}.orange{--c:var(--orange)}.green{--c:var(--green)}.grey{--c:var(--grey)}
.ink{--c:var(--ink)}
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--line:#bbb;--back:#fff;--card:#fff;
--blue:#0072b2;--orange:#d55e00;--green:#00795a;--grey:#777}
@page{margin:16mm}html{font-size:75%}body{max-width:none;padding:0}nav{display:none}
h2,h3{break-after:avoid}figure,tr,.warn{break-inside:avoid}figure{border:1px solid var(--line)}
.wide{overflow:visible}table{font-size:8pt}td,th{padding:.15em .4em;white-space:normal}
.figures{grid-template-columns:1fr 1fr}
details::details-content{content-visibility:visible;block-size:auto;opacity:1}
summary{color:inherit;list-style:none}}
"""
# Nothing of a page is a program, and nothing of it comes from anywhere else.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(title: str, body: Sequence[str]) -> str:
    """Returns a whole page; `title` is text, and each part of `body` is HTML."""
    head = (
        "<meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
    )
    content = "\n".join([f"<h1>{html.escape(title)}</h1>", *body])
    return f"<!doctype html>\n<html lang=en><head>{head}</head><body>\n{content}\n</body></html>\n"


def table(lines: Sequence[Sequence[str]], caption: str = "", texts: Sequence[int] = ()) -> str:
    """Returns a table as HTML, which scrolls by itself where it is wider than the page.

    Args:
      lines: its cells as text, the headings first.
      caption: below it, as text.
      texts: the columns that are no numbers, beside the first one.
    """
    return escaped_table([[html.escape(cell) for cell in line] for line in lines], caption, texts)


def escaped_table(
    lines: Sequence[Sequence[str]], caption: str = "", texts: Sequence[int] = ()
) -> str:
    """Returns `table` of cells that are HTML already."""
    heads, *rows = lines
    kinds = [" class=text" if index in texts else "" for index in range(len(heads))]
    head = "".join(
        f"<th scope=col{kind}>{text}</th>" for kind, text in zip(kinds, heads, strict=True)
    )
    body = []
    for first, *rest in rows:
        cells = zip(kinds[1:], rest, strict=True)
        others = "".join(f"<td{kind}>{text}</td>" for kind, text in cells)
        body.append(f"<tr><th scope=row>{first}</th>{others}</tr>")
    below = f"<p class=note>{html.escape(caption)}</p>" if caption else ""
    return (
        "<div class=wide role=region aria-label=Table tabindex=0>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>{below}"
    )


def items(texts: Sequence[str]) -> str:
    """Returns texts as a list in HTML."""
    return "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>"


def picture(png: bytes, alt: str) -> str:
    """Returns a PNG as an image in HTML, which is in the page itself."""
    source = base64.b64encode(png).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{source}">'


def page(
    title: str,
    facts: Sequence[str],
    tables: Sequence[tuple[str, Sequence[Sequence[str]], str]],
    note: str,
    figure: bytes,
) -> str:
    """Returns the page of a benchmark.

    Args:
      title: above all.
      facts: a list below it.
      tables: of each its title, its cells as `cells.markdown` gives them, the headings first, and
        what of it is not computed yet.
      note: below the tables.
      figure: a PNG, or nothing.
    """
    body = [items(facts)]
    for heading, lines, missing in tables:
        body.append(f"<h2>{html.escape(heading)}</h2>")
        if len(lines) > 1:
            body.append(escaped_table([[_plain(text) for text in line] for line in lines]))
        body += [f"<p>Not computed yet: {html.escape(missing)}.</p>"] if missing else []
    body.append(f"<p class=note>{html.escape(_plain(note))}</p>")
    body += [picture(figure, "differences of MAE")] if figure else []
    return document(title, body)


def _plain(text: str) -> str:
    """Returns a Markdown cell, which is escaped for HTML already, without Markdown's escapes."""
    return text.replace("\\", "")
