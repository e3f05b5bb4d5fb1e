"""The pages of commands and of the config's keys, from the code."""

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

from ldl_jax.run import config_help
from ldl_jax.run.config import Config

ROOT = Path(__file__).parents[2]


def page() -> str:
    """Returns the Markdown of the commands' page."""
    lines = [
        "# Commands",
        "",
        "`python -m launch.NAME`, or `ldl-NAME` as they are installed (`launch.main` as "
        "`ldl-train`). `--help` lists the flags too. A config's keys are on [a page of their "
        "own](config-keys.md).",
        "",
    ]
    for path in sorted((ROOT / "launch").glob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        if path.stem[0] == "_":
            continue
        lines += [f"## launch.{path.stem}", ""]
        for paragraph in docstring.split("\n\n"):
            is_command = paragraph.startswith(("python -m", "srun"))
            lines += ["```sh", paragraph, "```", ""] if is_command else [paragraph, ""]
        rows = sorted({row for file in _read(path, set()) for row in _flags(file)})
        if rows:
            lines += ["| flag | default | what it is |", "| --- | --- | --- |", *rows, ""]
    return "\n".join(lines)


def _read(path: Path, seen: set[Path]) -> set[Path]:
    """Returns a command's file and those of `ldl_jax.run` that it imports."""
    seen.add(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                file = ROOT / f"{name.replace('.', '/')}.py"
                if name.startswith("ldl_jax.run.") and file.exists() and file not in seen:
                    _read(file, seen)
    return seen


def _flags(path: Path) -> Iterator[str]:
    """Yields a row for each flag that a file defines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if not node.func.attr.startswith("DEFINE_") or len(node.args) < 3:
            continue
        name, default, *rest = node.args
        texts = [arg for arg in rest if _is_text(arg)]
        if not isinstance(name, ast.Constant) or not texts:
            continue
        value = ast.unparse(default)
        shown = "" if value in ("None", "''") else f"`{value}`"
        yield f"| `--{name.value}` | {shown} | {_cell(_text(texts[-1]))} |"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) for value in node.values)
    return "…"


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def config_keys() -> str:
    """Returns the Markdown of the page of the config's keys, a table a section."""
    lines = [
        "# The config's keys",
        "",
        "A config is a file of Python, as those in `configs/`. Each key is a flag too, as "
        "`--config.data.name=NAME`, and `python -m launch.main --help` prints them.",
        "",
    ]
    rows = sorted(config_help.keys(Config()), key=lambda row: ("." in row[0], _section(row[0])))
    for section, entries in itertools.groupby(rows, key=lambda row: _section(row[0])):
        lines += [f"## {section or 'The run'}", ""]
        lines += ["| key | type | default | what it is |", "| --- | --- | --- | --- |"]
        for key, kind, default, meaning in entries:
            shown = "" if default is None else f"`{default!r}`".replace("|", "\\|")
            lines.append(f"| `{key}` | {_cell(kind)} | {shown} | {_cell(meaning)} |")
        lines.append("")
    return "\n".join(lines)


def _section(key: str) -> str:
    return key.rpartition(".")[0]
