"""The programs of docs/library.md run as they are."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs/library.md").read_text()
TITLES = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
PROGRAMS = {
    part.partition("\n")[0]: re.findall(r"```python\n(.*?)```", part, re.DOTALL) for part in TITLES
}


def test_each_part_has_one_program():
    assert len(PROGRAMS) == 5
    assert all(len(programs) == 1 for programs in PROGRAMS.values())


@pytest.mark.parametrize("title", PROGRAMS)
def test_a_program_of_the_page(title, optax_promotes):
    (program,) = PROGRAMS[title]
    if "sklearn" in program:
        pytest.importorskip("sklearn", reason="scikit-learn is not installed: the extra sklearn")
    exec(compile(program, title, "exec"), {"__name__": "program"})
