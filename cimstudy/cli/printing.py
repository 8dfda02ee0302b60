"""Tables and rows on the terminal."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from cimstudy.cli.options import DONE

if TYPE_CHECKING:
    from cimstudy.analysis import Answer, TextTable

GUTTER = 3  # characters between columns


def print_answer(found: "Answer", *, as_json: bool) -> int:
    """Print what a statistic says."""
    if as_json:
        print(json.dumps(found.document, indent=1, allow_nan=False))
    else:
        print_metric(found.table)
    return DONE


def print_metric(found: "TextTable") -> None:
    """Print a table under its title, and below it what a reader must know."""
    print(found.title)
    print_table(found.header, found.rows, numbers=True)
    if found.caption:
        print(found.caption)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> None:
    """Print columns, as wide as the terminal or 80 characters, in colour only on a terminal."""
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console, cells = Console(highlight=False), [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, width in zip(header, widths(header, cells, console.width), strict=True):
        side: Literal["right", "left"] = "right" if numbers else "left"
        table.add_column(Text(name), justify=side, overflow="fold", width=width)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))  # as it is: brackets in values are no markup
    console.print(table)


def widths(header: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int | None]:
    """Widths of columns that break no cell and headings as little as can be; None where there is no such room."""
    found = [max(map(len, column), default=1) for column in zip(*rows, strict=True)] or [1] * len(header)
    spare = room - sum(found) - GUTTER * (len(found) - 1)
    if spare < 0:
        return [None] * len(found)
    for _ in range(spare):
        lines = [len(name) / width for name, width in zip(header, found, strict=True)]
        if max(lines) <= 1:
            break
        found[lines.index(max(lines))] += 1
    return list(found)


def print_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, a line each."""
    for name, value in rows:
        print(f"{name:<9}{value}")


def duration(seconds: float) -> str:
    """Seconds, or hours and minutes."""
    minutes = round(seconds / 60)
    return f"{seconds:.3g} s" if seconds < 120 else f"{minutes // 60} h {minutes % 60:02} min"
