"""Draws equations in plain Unicode, as docstrings have them, as MathML, which browsers show.

`L = Σ_k p_k ln(p_k / p̂_k)` stays what it is, sign for sign: subscripts and powers are set as such,
and nothing is reordered. What is no equation (words of two letters and more that name no function)
stays text.
"""

import html
import re
import unicodedata

FUNCTIONS = {
    *("acc", "argmax", "argmin", "conf", "cov", "dl", "erf", "exp", "huber", "ln", "max", "min"),
    *("sign", "softmax", "std", "sum", "tanh", "temper", "CA", "CE", "KL"),
}
_SIGNS = {
    **{"<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "-": "−", "*": "∗", "||": "∥"},
    **{"Σ": "∑", "Π": "∏"},
}
_MARK = "[\u0300-\u036f]"  # the hat of p̂
_ACCENTS = {"\u0302": "^", "\u0303": "~"}
_TOKEN = re.compile(
    r"\s+|<=|>=|!=|->|\|\||\.\.\.|\d+(?:\.\d+)?"
    rf"|[A-Za-z]{{2,}}(?!{_MARK})|\w{_MARK}*'*|.",
    re.DOTALL,
)
# A subscript without braces: k, jk, K, 18, k-1 (without blanks), and a row's own label n,k(n).
_SUB = re.compile(rf"n,k\(n\)|k\(n\)|[a-z]-1\b|\d+|\w{_MARK}*'?(?:[A-Za-z]{_MARK}*)*")
_POWER = re.compile(rf"-?(?:\d+(?:\.\d+)?|tanh|[^\W\d]{_MARK}*)?")
_STRONG = re.compile(rf"[_^ΣΠ√∫∂∝∘²=<>|Φα-ωΔσŷĉâñ]|{_MARK}")
_WORD = re.compile(r"[A-Za-z]{2,}")
_SNAKE = re.compile(r"[A-Za-z]{2,}_[A-Za-z]{2,}")
_ENDS = ",.;:"
_PAIRS = {")": "(", "]": "[", "}": "{"}


def paragraph(text: str) -> str:
    """Returns a paragraph of a docstring as Markdown with MathML in it."""
    chunks = re.findall(r"(?:`[^`]*`|\S)+\s*", re.sub(r"\s*\n\s*", " ", text))
    parts: list[str] = []
    start, equation = 0, False
    while start < len(chunks):
        end = _run(chunks, start)
        if end == start:
            parts.append(chunks[start])
            start += 1
            continue
        before, math, after = _trimmed("".join(chunks[start:end]))
        equation |= start == 0 and not before and bool(re.search("[=∝Σ]", math))
        gap = " " if after.endswith((" ", "\n")) else ""
        parts += [before, f"\0{math}\0", after.rstrip() + gap]
        start = end
    if equation or (parts and "".join(parts).startswith("\0")):
        return _raw(parts, display=equation)
    return "".join(mathml(p.strip("\0")) if p.startswith("\0") else p for p in parts)


def _raw(parts: list[str], *, display: bool) -> str:
    """Returns a paragraph in HTML, since Markdown takes no MathML at a paragraph's start."""
    pieces = []
    for part in parts:
        if part.startswith("\0"):
            drawn = [mathml(piece, display=display) for piece in _pieces(part.strip("\0"))]
            pieces.append("<wbr>".join(drawn))
        else:
            pieces.append(re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(part, quote=False)))
    return f"<p{' class=equation' * display}>{''.join(pieces)}</p>"


def _pieces(math: str) -> list[str]:
    """Splits an equation where a line may break: before its signs outside of brackets."""
    pieces, depth = [""], 0
    for index, sign in enumerate(math):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0 and sign in "+-=" and math[index - 1 : index + 2] == f" {sign} ":
            pieces.append("")
        pieces[-1] += sign
    return pieces


def _run(chunks: list[str], start: int) -> int:
    """Returns the end of the equation that starts at a chunk: the start itself where none does."""
    end, strong, depth, braces = start, False, 0, 0
    while end < len(chunks):
        chunk = chunks[end].rstrip()
        kind = _kind(chunk)
        if kind == "text" and braces <= 0:  # a set's condition may have words
            break
        strong |= kind == "strong"
        braces += chunk.count("{") - chunk.count("}")
        depth += sum(map(chunk.count, "([{")) - sum(map(chunk.count, ")]}"))
        end += 1
        gap = chunks[end - 1][len(chunk) :]
        ends = (chunk[-1] in ".;:" and chunk != "...") or (chunk[-1] == "," and len(gap) > 1)
        if depth <= 0 and ends:
            break
    while end > start and chunks[end - 1].strip() in ("a", "A", "I"):
        end -= 1
    return end if strong and not _is_article(chunks, start, end) else start


def _is_article(chunks: list[str], start: int, end: int) -> bool:
    """Returns whether a run starts with a word of one letter, as "a value", or "K values"."""
    first = chunks[start].strip()
    following = chunks[start + 1].strip() if end > start + 1 else ""
    return bool(re.fullmatch(r"[aAI]|\d+|-", first)) and not re.match(r"[-=<>+/|]|ln|!=", following)


def _kind(chunk: str) -> str:
    if "`" in chunk or '"' in chunk or "://" in chunk or _SNAKE.search(chunk):
        return "text"
    if any(w not in FUNCTIONS for w in _WORD.findall(re.sub(r"[_^]\w+", "", chunk))):
        return "text"
    return "strong" if _STRONG.search(chunk) else "weak"


def _trimmed(run: str) -> tuple[str, str, str]:
    """Splits punctuation and brackets that belong to the sentence off an equation."""
    math = run.rstrip()
    before, after = "", run[len(math) :]
    while math:
        unopened = math[-1] in _PAIRS and math.count(math[-1]) > math.count(_PAIRS[math[-1]])
        if math[-1] not in _ENDS and not unopened:
            break
        math, after = math[:-1], math[-1] + after
    while math and math[0] == "(" and math.count("(") > math.count(")"):
        before, math = before + "(", math[1:]
    return before, math, after


def mathml(text: str, *, display: bool = False) -> str:
    """Returns an equation as a MathML element.

    Examples:
      >>> print(mathml("p_k"))
      <math><msub><mi>p</mi><mi>k</mi></msub></math>
    """
    style = ' displaystyle="true"' if display else ""
    return f"<math{style}>{_row(text)}</math>"


def _row(text: str) -> str:
    atoms: list[str] = []
    place, spaced = 0, False
    sign = re.match(r"[-+=] ", text)  # a piece of an equation starts with a sign between two terms
    if sign:
        atoms, place = [f'<mo form="infix">{_SIGNS.get(text[0], text[0])}</mo>'], sign.end()
    while place < len(text):
        match = _TOKEN.match(text, place)
        assert match is not None
        token, place = match[0], match.end()
        if token.isspace():
            spaced = True
            continue
        if token in "_^" and atoms:
            script, place = _script(text, place, token)
            atoms[-1] = _scripted(atoms[-1], token, script)
            continue
        if token == "²" and atoms:
            atoms[-1] = _scripted(atoms[-1], "^", "<mn>2</mn>")
            continue
        atom = _atom(token)
        if token == "-" and (not atoms or _is_open(atoms[-1])):
            atom = '<mo form="prefix">−</mo>'
        # Two factors, or a function and its argument, keep their distance.
        if spaced and atoms and not _is_sign(atoms[-1]) and (token == "(" or not _is_sign(atom)):
            atoms.append('<mspace width="0.2em"></mspace>')
        atoms.append(atom)
        spaced = False
    return "".join(atoms)


def _is_sign(atom: str) -> bool:
    return atom.startswith(("<mo>", "<mo "))


def _is_open(atom: str) -> bool:
    return _is_sign(atom) and atom[-6] not in ")]}|"


def _atom(token: str) -> str:
    letter, *marks = unicodedata.normalize("NFD", token)
    if marks and marks[0] in _ACCENTS:
        accent = f'<mo stretchy="false">{_ACCENTS[marks[0]]}</mo>'
        return f'<mover accent="true">{_atom(letter)}{accent}</mover>'
    shown = html.escape(_SIGNS.get(token, token), quote=False)
    if token[0].isdigit():
        return f"<mn>{shown}</mn>"
    if _WORD.fullmatch(token) and token not in FUNCTIONS:
        return f"<mtext>{shown}</mtext>"
    if token[0].isalpha() and token not in "ΣΠ":
        if token.endswith("'"):  # browsers set a name of several signs upright
            primed = shown.replace("'", "′")
            return f'<mi style="font-style: italic">{primed}</mi>'
        return f"<mi>{shown}</mi>"
    if token in "|[](){}":
        space = ' lspace="0" rspace="0"' * (token == "|")
        return f'<mo stretchy="false"{space}>{shown}</mo>'
    return f"<mo>{shown}</mo>"


def _script(text: str, place: int, sign: str) -> tuple[str, int]:
    """Returns what is set below or above, and where the equation goes on."""
    if text[place : place + 1] == "{":
        end = _closing(text, place)
        return f"<mrow>{_row(text[place + 1 : end - 1])}</mrow>", end
    match = (_SUB if sign == "_" else _POWER).match(text, place)
    end = match.end() if match else place
    if text[end : end + 1] == "(" and (end == place or text[place:end] in ("-", "tanh")):
        end = _closing(text, end)
    inside = text[place:end]
    if sign == "_" and re.fullmatch("[A-Za-z]{2}", inside):
        return f"<mrow>{''.join(map(_atom, inside))}</mrow>", end  # two indices, not a name
    return f"<mrow>{_row(inside)}</mrow>" if len(inside) > 1 else _row(inside), end


def _closing(text: str, place: int) -> int:
    """Returns the place behind the bracket that closes the one here."""
    depth = 0
    for index in range(place, len(text)):
        depth += (text[index] in "({") - (text[index] in ")}")
        if depth == 0:
            return index + 1
    return len(text)


def _scripted(base: str, sign: str, script: str) -> str:
    large = base in ("<mo>∑</mo>", "<mo>∏</mo>")
    if base.startswith("<msub>") and sign == "^":
        return f"<msubsup>{base[6:-7]}{script}</msubsup>"
    if base.startswith("<msup>") and sign == "_":
        raise ValueError(f"write the subscript before the power, in {base}")
    tag = "munder" if large else "msub" if sign == "_" else "msup"
    return f"<{tag}>{base}{script}</{tag}>"
