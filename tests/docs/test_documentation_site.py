"""The documentation's site: its pages, links and names, without building it (`make docs` does)."""

import re

import pytest
import yaml

from docs.tools import api, commands, equations, links, tables
from ldl_jax.data.datasets.catalogue import DATASETS
from ldl_jax.labels import AGE
from ldl_jax.methods import METHODS

DOCS = links.ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FROM_ROOT = [links.ROOT / name for name in links.FROM_ROOT]
GENERATED = {"commands.md", "config-keys.md", "api/README.md", *links.FROM_ROOT.values()}
# Read from files of the user's own, or drawn.
OWN = {"csv_folder", "label_folders", "prepared", "synthetic"}


def named():
    """The pages that the navigation names."""
    sections = yaml.safe_load((links.ROOT / "mkdocs.yml").read_text())["nav"]
    return [page for section in sections for pages in section.values() for page in pages]


def test_every_page_is_named_once_in_the_navigation():
    names = named()
    assert len(names) == len(set(names))
    folders = tuple(name[:-1] for name in names if name.endswith("*"))
    notebooks = {f"notebooks/{path.stem}.md" for path in (DOCS / "notebooks").glob("*.py")}
    pages = {str(path.relative_to(DOCS)) for path in PAGES} | GENERATED | notebooks
    assert len(notebooks) >= 5
    assert not {page for page in pages if page not in names and not page.startswith(folders)}


def headings(path):
    """The anchors of a file's headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    found = re.findall(r"^#+ (.+)$", text, re.M)
    kept = [re.sub(r"[^\w\s-]", "", re.sub(r"\]\([^)]*\)", "", head)) for head in found]
    return {re.sub(r"\s", "-", head.strip().lower()) for head in kept}


@pytest.mark.parametrize("page", [*PAGES, *FROM_ROOT], ids=lambda path: path.name)
def test_a_page_s_links_and_anchors_are_there(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    missing = []
    for target, _, anchor in re.findall(r"\]\((?![a-z]+:)([^)\s#]*)(#([^)\s]*))?\)", text):
        file = page.parent / target if target else page
        if not file.exists():
            missing.append(target)
        elif anchor and file.suffix == ".md" and anchor not in headings(file):
            missing.append(f"{target}#{anchor}")
    assert not missing


def test_links_of_the_repository_become_links_of_the_site():
    text = "[docs/data.md](docs/data.md#x) ![a](docs/a.png) [keys](ldl_jax/run/sections.py) [j](https://j)"
    assert links.relinked(text, "README.md", "index.md") == (
        "[Your own data, and the field's](data.md#x) ![a](a.png) "
        "[keys](api/run.md#ldl_jax.run.sections) [j](https://j)"
    )
    assert links.relinked("[a](../SECURITY.md)", "docs/predicting.md", "predicting.md") == (
        "[a](security.md)"
    )
    text = "[p](../launch/predict.py) [c](../configs/cen_morph.py)"
    assert links.relinked(text, "docs/x.md", "x.md") == "[p](commands.md#launchpredict) c"
    assert links.relinked("[r](results)", "docs/x.md", "x.md") == "[r](results/README.md)"


def test_broken_links_and_foreign_files_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="one"></h1><a href="#one"></a><a href="b.html#two"></a><a href="b.html#no"></a>'
        '<a href="c.html"></a><a href="https://elsewhere"></a><script src="//cdn/x.js"></script>'
    )
    (tmp_path / "b.html").write_text('<p id="two"></p><img src="https://elsewhere/x.png">')
    (tmp_path / "s.css").write_text("@font-face{src:url(https://fonts/x.woff2)}")
    faults = list(links.faults(tmp_path))
    files = [fault.split(":")[0] for fault in faults]
    assert files == ["a.html", "a.html", "a.html", "b.html", "s.css"]
    text = "\n".join(faults)
    assert all(part in text for part in ("//cdn/x.js", "b.html#no", "c.html", "elsewhere/x.png"))


@pytest.mark.parametrize("package", api.packages())
def test_every_public_name_is_on_its_package_s_page(package):
    page = api.page(package)
    shown = set(re.findall(r"^::: (\S+)$", page, re.M))
    missing = [
        name
        for name in api.expected(package)
        if name not in shown and name.rpartition(".")[0] not in shown
    ]
    assert not missing


def test_every_method_has_its_assumptions_and_every_dataset_its_ethics():
    choosing = (DOCS / "choosing.md").read_text().split("## What each family assumes")[1]
    assert not [name for name in METHODS if f"`{name}`" not in choosing]
    sections = set(re.findall(r"^### `(\w+)`", (DOCS / "ethics.md").read_text(), re.M))
    assert not DATASETS.keys() - OWN - sections


def test_the_datasets_page_states_what_the_catalogue_says():
    text = tables.datasets("### `morph`: MORPH\n\n- Consent: none.\n\n### `unknown`: X\n")
    assert f"- Licence: {DATASETS['morph'].licence}\n" in text
    assert "### `unknown`: X\n" in text


def test_a_method_s_costs_and_results():
    outputs, flops = tables.costs("dex", AGE)
    assert outputs == 101
    assert flops > 101
    for rows in tables.results().values():
        assert rows.keys() <= {*METHODS}


def test_commands_and_keys_are_listed():
    text = commands.page()
    assert "## launch.predict" in text
    assert "| `--checkpoint` |" in text
    assert "| `data.name` |" in commands.config_keys()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("p_k", ["<msub><mi>p</mi><mi>k</mi></msub>"]),
        ("x^2", ["<msup><mi>x</mi><mn>2</mn></msup>"]),
        ("θ_j^(K-1)", ["<msubsup><mi>θ</mi><mi>j</mi>"]),
        (
            "Σ_{j<=k} p_j",
            ["<munder><mo>∑</mo><mrow><mi>j</mi><mo>≤</mo><mi>k</mi></mrow>"],
        ),
        ("ŷ", ["<mover", "<mi>y</mi>", "^"]),
        ("p_jk", ["<mrow><mi>j</mi><mi>k</mi></mrow>"]),
        ("ln p", ["<mi>ln</mi><mspace", "<mi>p</mi>"]),
    ],
)
def test_an_equation_is_drawn_sign_for_sign(text, parts):
    drawn = equations.mathml(text)
    assert all(part in drawn for part in parts)


def test_an_equation_s_text_is_kept():
    text = "L = Σ_k p_k ln p̂_k,  p̂ = softmax(x), which `losses.dex` is at a one-hot p."
    drawn = equations.paragraph(text)
    assert drawn.startswith("<p class=equation><math")
    assert "which <code>losses.dex</code> is at a one-hot p." in drawn
    prose = "A network of K values, drawn from a file with the name `a_b`, in [..., K]."
    assert equations.paragraph(prose) == prose
