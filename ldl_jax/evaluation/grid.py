"""The tables on a screen: no number and no name is dropped, cut or split, however narrow it is."""

import dataclasses
import textwrap
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ldl_jax.evaluation.cells import plain


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
      heading: what is above it; it folds between words where there is little room.
      right: whether its cells stand to the right, as numbers do.
      folds: whether its cells may fold between words too, as sentences do.
    """

    heading: str
    right: bool = True
    folds: bool = False


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table of texts, which are shown as they are: nothing in them is obeyed.

    Where the columns do not fit beside each other they are shown in blocks below each other, the
    first `keep` columns in each; where not even these fit, a line a cell.

    Attributes:
      columns: of the table.
      rows: a cell a column.
      keep: how many columns say what a row is of.
      caption: a line below the table.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    keep: int = 1
    caption: str = ""

    def __post_init__(self) -> None:
        rows = tuple(tuple(map(plain, row)) for row in self.rows)
        if any(len(row) != len(self.columns) for row in rows):
            raise ValueError(f"rows: expected {len(self.columns)} cells each")
        columns = tuple(
            dataclasses.replace(column, heading=plain(column.heading)) for column in self.columns
        )
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "columns", columns)

    def lines(self, width: int | None = None) -> list[Text]:
        """Returns the table's lines, none longer than `width` where a cell is not; None: no end."""
        caption = _folded(self.caption, width or cell_len(self.caption))
        return [*self._body(width), *(Text(line, "dim italic") for line in caption if line)]

    def _body(self, width: int | None) -> list[Text]:
        everything = [*range(len(self.columns))]
        widest = [max(map(cell_len, cells)) for cells in self._by_column()]
        if width is None or sum(widest) + 2 * (len(widest) - 1) <= width:
            return self._block(everything, widest, 2)
        least = [
            max(map(_longest_word if column.folds else cell_len, cells[1:]), default=0)
            for column, cells in zip(self.columns, self._by_column(), strict=True)
        ]
        least = [
            max(size, _longest_word(column.heading))
            for size, column in zip(least, self.columns, strict=True)
        ]
        blocks = self._blocks(least, width)
        if blocks is None:
            return self._long(width)
        lines: list[Text] = []
        for block in blocks:
            spare = width - sum(least[index] + 1 for index in block) + 1
            sizes = list(least)
            for index in block:
                added = min(spare, widest[index] - least[index])
                sizes[index], spare = sizes[index] + added, spare - added
            lines += [*([Text()] if lines else []), *self._block(block, sizes, 1)]
        return lines

    def _by_column(self) -> list[list[str]]:
        """Returns the heading and the cells of each column."""
        return [
            [column.heading, *(row[index] for row in self.rows)]
            for index, column in enumerate(self.columns)
        ]

    def _blocks(self, least: Sequence[int], width: int) -> list[list[int]] | None:
        """Returns the columns of each block; None where the screen has no room for blocks."""
        first = [*range(min(self.keep, len(least)))]
        used = sum(least[index] + 1 for index in first)
        blocks: list[list[int]] = []
        room = 0
        for index in range(len(first), len(least)):
            needed = least[index] + 1
            if not blocks or needed > room:
                blocks.append([*first])
                room = width + 1 - used
            if needed > room:
                return None
            blocks[-1].append(index)
            room -= needed
        return blocks or ([first] if used <= width + 1 else None)

    def _block(self, chosen: Sequence[int], widths: Sequence[int], gap: int) -> list[Text]:
        """Returns the heading, a rule and the rows of some columns."""
        headings = self._row([column.heading for column in self.columns], chosen, widths, gap, True)
        total = sum(widths[index] for index in chosen) + gap * (len(chosen) - 1)
        lines = [*(Text(line, "bold") for line in headings), Text("─" * total)]
        for row in self.rows:
            lines += [Text(line) for line in self._row(row, chosen, widths, gap, False)]
        return lines

    def _row(
        self,
        cells: Sequence[str],
        chosen: Sequence[int],
        widths: Sequence[int],
        gap: int,
        top: bool,
    ) -> list[str]:
        """Returns the lines of a row; headings stand on the rule, cells begin on the first line."""
        folded = [
            _folded(cells[index], widths[index]) if top or self.columns[index].folds
            else [cells[index]]
            for index in chosen
        ]  # fmt: skip
        height = max(map(len, folded), default=1)
        lines = []
        for line in range(height):
            parts = []
            for index, texts in zip(chosen, folded, strict=True):
                at = line - (height - len(texts) if top else 0)
                text = texts[at] if 0 <= at < len(texts) else ""
                blank = " " * (widths[index] - cell_len(text))
                parts.append(blank + text if self.columns[index].right else text + blank)
            lines.append((" " * gap).join(parts).rstrip())
        return lines

    def _long(self, width: int) -> list[Text]:
        """Returns a line a cell, or two where they are narrow, the rows apart."""
        size = max(cell_len(column.heading) for column in self.columns)
        lines: list[Text] = []
        for row in self.rows:
            lines += [Text()] if lines else []
            for index, (column, cell) in enumerate(zip(self.columns, row, strict=True)):
                style = "bold" if index < self.keep else ""
                heading = column.heading + " " * (size - cell_len(column.heading))
                if size + 2 + cell_len(cell) <= width:
                    lines.append(Text(f"{heading}  {cell}", style))
                else:
                    lines += [Text(column.heading, style), Text(f"  {cell}", style)]
        return lines


def show(console: Console, grid: Grid) -> None:
    """Prints a table as wide as the terminal; a pipe or a file gets its full width."""
    width = console.width if console.is_terminal else None
    for line in grid.lines(width):
        console.print(line, soft_wrap=True, highlight=False)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _folded(text: str, width: int) -> list[str]:
    """Returns the lines of a text that folds between words."""
    if cell_len(text) <= width:
        return [text]
    return textwrap.wrap(text, max(1, width), break_long_words=False, break_on_hyphens=False)
