"""README, docs and CONTRIBUTING name what is there."""

import re
import tomllib
from pathlib import Path

import pytest

import ldl_jax
from ldl_jax.metrics import table
from ldl_jax.run import config_names
from ldl_jax.run.config import Config, to_dict
from tests.test_layers import FLOORS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
KEYED = [ROOT / "README.md", *(ROOT / f"docs/{name}.md" for name in ("data", "methods", "running"))]
OURS = r"(?:ldl_jax|launch|configs|benchmarks|tests|docs)/"
PATH = re.compile(rf"(?<![\w./])(?<!--config=){OURS}[\w./-]*\w(?![\w{{*])")
LINK = re.compile(r"\]\((?!https?:|#)([^)]+)\)")
# They stand for a file of the reader's own.
PLACEHOLDERS = re.compile(r"NAME|FAMILY|mine|^x\.")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_s_paths_and_links_are_there(document):
    text = document.read_text()
    missing = {
        path
        for path in PATH.findall(text)
        if not PLACEHOLDERS.search(path) and not (ROOT / path).exists()
    }
    missing |= {link for link in LINK.findall(text) if not (document.parent / link).exists()}
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_s_commands_are_there(document):
    text = document.read_text()
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    for package, name in re.findall(r"-m (launch|benchmarks)\.([a-z_]+)", text):
        assert (ROOT / package / f"{name}.py").exists(), name
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(re.findall(r"`(ldl-[a-z]+)", text)) <= set(scripts)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_s_configs_are_there(document, monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in re.findall(r"--config[= ]([\w./-]*\w)", document.read_text()):
        assert PLACEHOLDERS.search(name) or config_names.file_of(name)


def test_the_config_keys_of_documents_are_there():
    sections = {name: keys for name, keys in to_dict(Config()).items() if isinstance(keys, dict)}
    names = "|".join(sections.keys() - {"model", "method"})
    whole = "\n".join(path.read_text() for path in KEYED)
    text = re.sub(r"ldl_jax[.\w]+", "", whole)  # modules are no keys
    named = re.findall(rf"\b({names})\.(?!md\b)([a-z_]+)", text)
    assert len(named) > 30
    assert not {f"{section}.{key}" for section, key in named if key not in sections[section]}


def test_the_drawing_has_the_floors():
    drawing = (ROOT / "docs/architecture.md").read_text().split("```")[1]
    drawn = re.findall(r"^ ?(\d+)   ((?:\w+ )+) ", drawing, re.M)
    assert [int(floor) for floor, _ in drawn] == list(range(len(FLOORS)))[::-1]
    assert [set(names.split()) for _, names in drawn] == FLOORS[::-1]


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {ldl_jax.__version__}\n" in citation
    assert project["version"] == ldl_jax.__version__


def test_the_page_of_metrics_is_the_table():
    assert (ROOT / "docs/metrics.md").read_text().endswith(f"\n{table.markdown()}\n")
