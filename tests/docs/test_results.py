"""The committed results: each page says what its JSON has, and the README what the page says."""

from pathlib import Path

import pytest

from ldl_jax.evaluation import cells, scored
from ldl_jax.run import benchmark_table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
PAGES = sorted(RESULTS.glob("*.json"))
Rows = dict[str, list[str]]


def rows(section: str) -> Rows:
    """Returns the cells of a table's lines, by their names without the mark of a reference."""
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    split = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {name.removesuffix(" \\*"): others for name, *others in split}


def sections(text: str) -> dict[str, str]:
    """Returns the text below each heading of the second order."""
    return dict(part.split("\n", 1) for part in text.split("\n## ")[1:])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_says_what_its_json_has(path: Path) -> None:
    text = path.with_suffix(".md").read_text()
    page = benchmark_table.read(path)
    assert text.startswith(f"# {page.title}\n")
    assert all(f"- {cells.markdown(fact)}\n" in text for fact in page.facts)
    parts = sections(text)
    for table in page.tables.values():
        shown = rows(parts.pop(cells.markdown(table.title)))
        assert list(shown) == [
            cells.markdown(line.row) for line in sorted(table.lines, key=lambda line: line.error)
        ]
        for line in table.lines:
            row = shown[cells.markdown(line.row)]
            assert row[1] == scored.cell(line.metrics["mae"], "mae")
            contrast = None if line.difference is None else (line.difference, line.p)
            assert (*row[-3:-1],) == scored.contrast_cells(contrast)
    assert not parts


def test_the_readme_says_what_the_page_says() -> None:
    section = sections((ROOT / "README.md").read_text())["Results"]
    page = sections((RESULTS / "aaf.md").read_text())
    frozen, peers = (
        rows(text) for title, text in page.items() if title[:6] in ("Frozen", "Models")
    )
    ours = rows(section)
    assert len(ours) > 3
    for name, others in ours.items():
        assert [cell for cell in others if cell not in frozen[name]] == []
    for name in ("HSE-FaceRes", "face-api"):
        assert f"{name} {peers[name][1]}" in section
