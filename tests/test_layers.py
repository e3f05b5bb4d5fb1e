"""Dependencies point one way: the walk of every import of every module."""

import ast
import functools
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Flat pure files, each importing only those of its own rank or of one before it. A family, such as
# losses_ordinal, has its first word's rank.
ORDER = [
    {"labels"},
    {"arrays"},
    {"encodings"},
    {"losses", "decoders", "metrics"},
    {"heads"},
    {"methods"},
]
PURE = {"jax", "numpy"}
# Of the standard library, what opens files, logs, or runs something.
IMPURE = {
    "io",
    "logging",
    "os",
    "pathlib",
    "pickle",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "asyncio",
    "multiprocessing",
    "urllib",
}
# Flat files that are no pure functions: the junction, and what it stands on.
FLAT = {
    "__init__",
    "config",
    "experiment",
    "experiment_data",
    "faces",
    "foreign",
    "layout",
    "plan",
    "predictor",
    "smoke",
    "sweep",
    "workdir",
}
FRAMEWORKS = {
    "flax",
    "grain",
    "optax",
    "orbax",
    "tensorboardX",
    "tensorflow",
    "tensorflow_datasets",
    "torch",
    "ml_collections",
    "absl",
    "matplotlib",
    "rich",
    "PIL",
    "cv2",
}
SEES_CONFIGS = {
    "ldl_jax.config",
    "ldl_jax.experiment",
    "ldl_jax.experiment_data",
    "ldl_jax.plan",
    "ldl_jax.smoke",
    "ldl_jax.sweep",
}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(p): p for p in sorted((ROOT / "ldl_jax").rglob("*.py"))}


def names_imported(path):
    """Every dotted name that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def module_of(name):
    """The module of ldl_jax that a dotted name is, or is in."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


@functools.cache
def imports(module):
    """(modules of ldl_jax, other packages) that a module imports."""
    names = set(names_imported(MODULES[module]))
    own = {name for name in names if name.split(".")[0] == "ldl_jax"}
    return {module_of(name) for name in own} - {module}, {n.split(".")[0] for n in names - own}


def rank(module):
    stem = module.removeprefix("ldl_jax.").split("_")[0]
    return next((place for place, names in enumerate(ORDER) if stem in names), None)


def within(package):
    return [module for module in MODULES if f"{module}.".startswith(f"ldl_jax.{package}.")]


PURE_FILES = [m for m in MODULES if m.count(".") == 1 and rank(m) is not None]


def test_every_flat_file_has_its_place():
    flat = {p.stem for p in (ROOT / "ldl_jax").glob("*.py")}
    pure = {module.removeprefix("ldl_jax.") for module in PURE_FILES}
    assert flat - pure <= FLAT, "give a new flat file a rank in ORDER, or a place in FLAT"
    assert {"labels", "arrays", "encodings", "losses", "decoders", "metrics", "heads"} < pure


@pytest.mark.parametrize("module", PURE_FILES)
def test_pure_files_import_downwards(module):
    own, others = imports(module)
    assert others - set(sys.stdlib_module_names) <= PURE
    assert not others & IMPURE
    for name in own:
        assert rank(name) is not None, f"{module} imports {name}"
        assert rank(name) <= rank(module), f"{module} imports {name}"


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("models", {"flax"}),
        ("data", {"grain", "PIL", "cv2", "tensorflow_datasets"}),
        ("train", {"optax", "orbax"}),
        ("evaluation", {"matplotlib", "rich", "PIL"}),
    ],
)
def test_frameworks_stay_in_their_folder(package, allowed):
    assert within(package)
    for module in within(package):
        assert imports(module)[1] & FRAMEWORKS <= allowed, module


@pytest.mark.parametrize(
    ("package", "never"),
    [
        ("models", ["data", "train", "evaluation", "methods", "losses", "heads"]),
        ("data", ["models", "train", "evaluation", "methods", "losses", "heads"]),
        ("evaluation", ["models", "train"]),
    ],
)
def test_folders_that_do_not_know_one_another(package, never):
    forbidden = {module for name in never for module in within(name)}
    for module in within(package):
        assert not imports(module)[0] & forbidden, module


def test_only_the_junction_sees_configs():
    for module in MODULES:
        own, others = imports(module)
        if module not in SEES_CONFIGS:
            assert not own & SEES_CONFIGS, module
            assert "ml_collections" not in others, module


def test_the_library_imports_no_program():
    for module in MODULES:
        assert not imports(module)[1] & {"launch", "configs", "benchmarks", "tests"}, module


def test_no_cycles():
    """Depth first; a module met again while its own imports are walked closes a cycle."""
    done = set()

    def walk(module, path):
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for name in sorted(imports(module)[0]):
                walk(name, [*path, module])
            done.add(module)

    for module in MODULES:
        walk(module, [])
    assert done == set(MODULES)
