"""Dependencies point one way: the walk of every import of every module, package by package."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The floors of the house, from the ground up. A package imports from its own floor only itself,
# and else from floors below; so no arrow points upwards and no two packages know each other.
FLOORS = [
    {"labels", "files", "processes", "isolated", "extras", "factories"},
    {"arrays", "workdir", "placement", "workers"},
    {"encodings"},
    {"decoders", "losses"},
    {"metrics"},
    {"heads", "calibration"},
    {"methods"},
    {"models", "data"},
    {"evaluation", "features", "lowering", "search", "trackers"},
    {"train"},
    {"estimators", "predict"},
    {"export", "video"},
    {"serve"},
    {"run"},
    {"reports"},
]
DEFINING = {"ldl_jax", "ldl_jax.processes"}  # packages that are more than names
# The files that stand flat in ldl_jax/, and in data/. A new one belongs into a package.
FLAT = {"__init__", "arrays", "extras", "files", "heads", "labels", "placement"}
FLAT_DATA = {"__init__", "align", "lazy", "packed", "pictures", "records"}
PURE = (
    *("labels", "arrays", "encodings", "decoders", "losses", "metrics", "calibration", "heads"),
    *("methods", "factories"),
)
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
FRAMEWORKS = {
    "PIL",
    "absl",
    "array_record",
    "av",
    "cv2",
    "equinox",
    "filelock",
    "flax",
    "grain",
    "h5py",
    "huggingface_hub",
    "matplotlib",
    "mlflow",
    "ml_collections",
    "onnx",
    "onnxruntime",
    "optax",
    "optuna",
    "orbax",
    "prometheus_client",
    "ray",
    "rich",
    "safetensors",
    "scipy",
    "sklearn",
    "starlette",
    "submitit",
    "tensorboardX",
    "tensorflow",
    "tensorflow_datasets",
    "torch",
    "trackio",
    "uvicorn",
    "wandb",
}
# The frameworks that a package may import; one that is not named here may import none of them.
ALLOWED = {
    "files": {"filelock"},
    "estimators": {"optax", "sklearn"},
    "isolated": {"h5py", "scipy"},
    "models": {"equinox", "flax", "safetensors"},
    "data": {"PIL", "array_record", "cv2", "grain", "safetensors", "scipy", "tensorflow_datasets"},
    "evaluation": {"PIL", "matplotlib", "rich", "scipy"},
    "train": {"optax", "orbax"},
    "predict": {"PIL", "huggingface_hub", "onnx"},
    "lowering": {"onnx"},
    "export": {"PIL"},
    "search": {"optuna"},
    "serve": {"PIL", "prometheus_client", "starlette", "uvicorn"},
    "reports": {"scipy"},
    "run": {"absl", "ml_collections", "optax", "rich"},
    "video": {"PIL", "av", "scipy"},
    "trackers": {"mlflow", "trackio", "wandb"},
    "workdir": {"tensorboardX"},
    "workers": {"ray", "submitit"},
}
# Packages of `data`, each with those that it may know beside the flat files.
DATA = {
    "augment": set(),
    "detect": set(),
    "decoding": set(),
    "datasets": {"synthetic"},
    "feed": set(),
    "prepare": {"datasets", "detect"},
    "splits": set(),
    "synthetic": set(),
}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(p): p for p in sorted((ROOT / "ldl_jax").rglob("*.py"))}
COMMANDS = {module_name(p): p for p in sorted((ROOT / "launch").glob("*.py"))}


def names_imported(path):
    """Every dotted name that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from imported_by_name(path, node.args[0])


def imported_by_name(path, argument):
    """What import_module(f"package.{name}") may import: every other module of that package."""
    if isinstance(argument, ast.JoinedStr) and isinstance(argument.values[0], ast.Constant):
        start = argument.values[0].value
        yield from (name for name in MODULES if name.startswith(start) and MODULES[name] != path)


def module_of(name):
    """The module of ldl_jax that a dotted name is, or is in."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


@functools.cache
def imports(module):
    """(modules of ldl_jax, other packages) that a module imports."""
    names = set(names_imported(MODULES[module])) - {"ldl_jax.__version__"}  # a text
    own = {name for name in names if name.split(".")[0] == "ldl_jax"}
    return {module_of(name) for name in own} - {module}, {n.split(".")[0] for n in names - own}


def package(module):
    """The package, or the flat file, that a module is in."""
    return module.split(".")[1]


INSIDE = [module for module in MODULES if module != "ldl_jax"]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def test_flat_files_are_those_that_are_known():
    """A new file belongs into a package; only what all packages stand on is flat."""
    assert {p.stem for p in (ROOT / "ldl_jax").glob("*.py")} == FLAT
    assert {p.stem for p in (ROOT / "ldl_jax/data").glob("*.py")} == FLAT_DATA


def test_every_package_has_its_floor():
    assert {package(module) for module in INSIDE} == set(FLOOR)
    assert {p.name for p in (ROOT / "ldl_jax/data").iterdir() if p.is_dir()} - {
        "__pycache__"
    } == set(DATA)


@pytest.mark.parametrize("module", INSIDE)
def test_imports_point_downwards(module):
    for name in imports(module)[0]:
        same = package(name) == package(module)
        assert same or FLOOR[package(name)] < FLOOR[package(module)], f"{module} imports {name}"


@pytest.mark.parametrize("module", [m for m in INSIDE if m.startswith("ldl_jax.data.")])
def test_packages_of_data_know_only_what_they_stand_on(module):
    parts = module.split(".")
    inner = parts[2] if parts[2] in DATA else ""
    known = {inner, *DATA[inner]} if inner else {"decoding"}
    for name in imports(module)[0]:
        other = [*name.split("."), "", ""][1:3]
        if other[0] == "data" and other[1] in DATA:
            assert other[1] in known, f"{module} imports {name}"


@pytest.mark.parametrize("module", [m for m in INSIDE if package(m) in PURE])
def test_pure_packages_need_jax_and_numpy_alone(module):
    others = imports(module)[1]
    assert others - set(sys.stdlib_module_names) <= {"jax", "numpy"}
    assert not others & IMPURE


def test_pure_packages_load_jax_and_numpy_alone():
    """In a new interpreter: what a module imports, imports other modules in turn."""
    program = f"""
import sys, jax, jax.numpy
before = {{name.partition(".")[0] for name in sys.modules}}
from ldl_jax import {", ".join(PURE)}
after = {{name.partition(".")[0] for name in sys.modules}}
print(*sorted(after - before - set(sys.stdlib_module_names)))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ldl_jax"]


@pytest.mark.parametrize("module", INSIDE)
def test_frameworks_stay_in_their_package(module):
    assert imports(module)[1] & FRAMEWORKS <= ALLOWED.get(package(module), set())


def test_a_package_defines_nothing_in_its_init():
    for module, path in MODULES.items():
        if path.name == "__init__.py" and package(f"{module}.x") not in (
            "processes",
            "x",
        ):
            for node in ast.parse(path.read_text()).body:
                assert isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign), module


def test_only_run_and_commands_see_configs():
    for module in INSIDE:
        if package(module) != "run":
            assert "ml_collections" not in imports(module)[1], module


def test_the_library_imports_no_program():
    for module in MODULES:
        assert not imports(module)[1] & {"launch", "configs", "benchmarks", "tests"}, module


def test_launch_holds_commands_alone():
    """Each file is a command, and none imports another: what they share lives in ldl_jax.run."""
    for module, path in COMMANDS.items():
        names = {name for name in names_imported(path) if name.startswith("launch")}
        assert not names, f"{module} imports {names}"
        if path.stem != "__init__":
            assert "__main__" in path.read_text(), module


def test_readers_that_the_catalogue_imports_by_name_are_seen():
    names = imports("ldl_jax.data.datasets.catalogue")[0]
    assert {"ldl_jax.data.datasets.agedb", "ldl_jax.data.datasets.csv_folder"} <= names


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
