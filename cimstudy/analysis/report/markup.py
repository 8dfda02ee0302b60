"""HTML from values: everything is escaped that is not markup already."""

import html
from collections.abc import Collection, Iterable, Sequence


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: str) -> Markup:
    """One element with its children. `class_` stands for `class`, `data_plot` for `data-plot`."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Markup:
    """Texts and markup one after the other."""
    return Markup("".join(child if isinstance(child, Markup) else html.escape(child) for child in children))


def section(title: str, *children: str) -> Markup:
    """A part of the page under its heading."""
    return element("section", element("h2", title), *children)


def paragraph(*children: str) -> Markup:
    """A paragraph."""
    return element("p", *children)


def folded(title: str, *children: str) -> Markup:
    """What only those see who ask for it; print has it open."""
    return element("details", element("summary", title), *children)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[int] = ()) -> Markup:
    """A table whose columns at the places `numbers` are numbers and whose others are text.

    One of text alone is stacked where the page is narrow, one with numbers scrolls.
    """
    kinds = ["number" if place in numbers else "text" for place in range(len(header))]
    head = element("tr", *(element("th", name, class_=kind) for name, kind in zip(header, kinds, strict=True)))
    body = [
        element("tr", *(element("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)))
        for row in rows
    ]
    found = element("table", element("thead", head), element("tbody", *body))
    return element("div", found, class_="wide" if numbers else "stacked")
