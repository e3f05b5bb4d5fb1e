"""The reference's pages: every public name of every package, listed by the code itself."""

import ast
import functools
import importlib
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The packages in the order of their floors, from what a reader calls to what holds it up.
PACKAGES = (
    *("labels", "encodings", "losses", "decoders", "metrics", "heads", "calibration", "methods"),
    *("models", "data", "train", "predict", "evaluation", "features", "export", "lowering"),
    *("serve", "video", "run", "reports", "workdir", "processes", "isolated", "arrays"),
    *("files", "placement"),
)


@functools.cache
def packages() -> tuple[str, ...]:
    """Returns the packages and files of `ldl_jax`, those that `PACKAGES` lists first.

    One that is new comes at the end by itself.
    """
    folder = ROOT / "ldl_jax"
    names = {
        path.stem
        for path in folder.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem[0] != "_"
    }
    listed = [name for name in PACKAGES if name in names]
    return (*listed, *sorted(names - set(listed)))


@functools.cache
def listed(module: str) -> tuple[str, ...]:
    """Returns the names that a package's `__all__` lists; none where it lists none."""
    path = _path(module)
    if "__all__" not in path.read_text():
        return ()
    return tuple(importlib.import_module(module).__all__)


def modules(package: str) -> list[str]:
    """Returns the public modules of a package, its packages' too, without those that list names."""
    folder = ROOT / package.replace(".", "/")
    if not folder.is_dir():
        return [package]
    paths = [path for path in sorted(folder.rglob("*.py")) if "page" not in path.parts]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    names = [name.removesuffix(".__init__") for name in names]
    return [name for name in names if not any(part[0] == "_" for part in name.split("."))]


def defined(module: str) -> list[str]:
    """Returns the public functions and classes that a module defines."""
    tree = ast.parse(_path(module).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in tree.body if isinstance(node, kinds) and node.name[0] != "_"]


def expected(package: str) -> list[str]:
    """Returns the names that the page of `ldl_jax.PACKAGE` has to have, with their modules."""
    whole = f"ldl_jax.{package}"
    if listed(whole):
        return [_anchor(package, name) for name in listed(whole)]
    return [f"{module}.{name}" for module in modules(whole) for name in defined(module)]


def anchor(name: str) -> str | None:
    """Returns the anchor of a public name, as `losses.dex`; None of what is none."""
    package, _, last = name.partition(".")
    if package in packages() and last in listed(f"ldl_jax.{package}"):
        return _anchor(package, last)
    return None


def _anchor(package: str, name: str) -> str:
    # Where a module has a function's name, the reader of the code finds the module first.
    module = f".{name}" if (ROOT / f"ldl_jax/{package}/{name}.py").exists() else ""
    return f"ldl_jax.{package}{module}.{name}"


def page(package: str) -> str:
    """Returns the Markdown of a package's page."""
    whole = f"ldl_jax.{package}"
    heading = f"# `{whole}`"
    if listed(whole):
        # The package's own docstring, and then each of its names.
        lines = [heading, "", _block(whole, 2, members=False, heading=False)]
        lines += [_block(name, 2) for name in expected(package)]
        return "\n".join(lines)
    return "\n".join([heading, "", *(_block(module, 2) for module in modules(whole))])


def overview() -> str:
    """Returns the Markdown of the reference's first page."""
    rows = []
    for package in packages():
        docstring = ast.get_docstring(ast.parse(_path(f"ldl_jax.{package}").read_text())) or ""
        summary = " ".join(docstring.split("\n\n")[0].split())
        rows.append(f"| [`{package}`]({package}.md) | {summary} |")
    return "\n".join(
        [
            "# Reference",
            "",
            "Every public function and class, from the docstrings. The packages come from the pure "
            "functions up to what runs them; [the architecture](../architecture.md) shows how they "
            "stand on one another. `ldl_jax.load` and `ldl_jax.Predictor` are those of "
            "[`ldl_jax.predict`](predict.md#ldl_jax.predict.loading.load). Array shapes stand in "
            "brackets, as `[..., K]`, K being the number of label values.",
            "",
            "| package | what it is |",
            "| --- | --- |",
            *rows,
            "",
            "The commands are on [a page of their own](../commands.md), and so are [the config's "
            "keys](../config-keys.md).",
        ]
    )


def _block(name: str, level: int, *, members: bool = True, heading: bool = True) -> str:
    lines = [f"::: {name}", "    options:", f"      heading_level: {level}"]
    if not members:
        lines.append("      members: false")
    if not heading:
        lines.append("      show_root_heading: false")
    return "\n".join([*lines, ""])


def _path(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
