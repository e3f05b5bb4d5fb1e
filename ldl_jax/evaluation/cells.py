"""Shows names and cells as the text that they are: on a terminal, in Markdown and in CSV files."""

import json
import re

# What begins a formula in a spreadsheet, also in the full-width forms that some of them accept.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"'*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MARKDOWN = re.compile(
    r"""[\\`|~]                         # everywhere
    |\*(?=\S)|(?<=\S)\*                 # a star, but for one between spaces
    |(?<!\w)_|_(?!\w)                   # an underscore at the end of a word
    |!?\[(?=[^\]]*\]\s?[(\[:])          # the beginning of a link
    """,
    re.VERBOSE,
)


def plain(text: str) -> str:
    """Returns a text with what a terminal would obey, or not show, escaped.

    Examples:
      >>> plain("a\\x1b[2Jb")
      'a\\\\x1b[2Jb'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def plain_lines(text: str) -> str:
    """Returns lines of text, each as `plain` gives it."""
    return "\n".join(map(plain, text.split("\n")))


def markdown(text: str) -> str:
    r"""Returns a text for a cell of a Markdown table; neither Markdown nor HTML is obeyed.

    Examples:
      >>> markdown("a|<b>")
      'a\\|&lt;b&gt;'
    """
    shown = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\g<0>", shown)


def spreadsheet(text: str) -> str:
    """Returns a text for a cell of a CSV file, which no spreadsheet takes for a formula.

    An apostrophe is put before a text that begins with =, +, -, @, a tab or the end of a line, and
    is no number. `from_spreadsheet` takes it away.

    Examples:
      >>> spreadsheet("=1+1.jpg"), spreadsheet("-1.5"), spreadsheet("a.jpg")
      ("'=1+1.jpg", '-1.5', 'a.jpg')
    """
    return f"'{text}" if _is_formula(text) else text


def json_text(text: str) -> str:
    """Returns JSON with what a terminal would obey, or not show, as JSON's own escapes."""
    if text.isprintable():  # most are, and Python takes its time for each character
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def from_spreadsheet(cell: str) -> str:
    """Returns the text of a cell that `spreadsheet` gave."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell) else cell


def _is_formula(text: str) -> bool:
    """Returns whether a text, whatever apostrophes it begins with, goes on as a formula does."""
    return bool(_FORMULA.match(text)) and not _NUMBER.fullmatch(text)
