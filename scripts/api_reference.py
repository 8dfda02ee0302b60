"""Write docs/api.md, the reference of all public names, from their docstrings and source text.

    python scripts/api_reference.py

Run it after a change of a public name, its signature or its docstring; a test compares the file. Signatures and fields
are read from the source text, so the page does not depend on the version of Python.
"""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from cimstudy.hardware import Part

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
ROOMS = (
    "cimstudy",
    "cimstudy.workloads",
    "cimstudy.analysis",
    "cimstudy.analysis.plots",
    "cimstudy.study",
    "cimstudy.hardware",
    "cimstudy.cost",
    "cimstudy.transformer",
    "cimstudy.analog",
)
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "multiple_of": "a multiple of"}
HEAD = """\
# Reference

Made by `scripts/api_reference.py` from docstrings and source text. The functions of `cimstudy.analysis` whose first
argument is a dataset are methods of the accessor as well: `ds.cim.summary("nll")` is
`cimstudy.analysis.summary(ds, "nll")`, and `ds.cim.plot.line("nll")` is `cimstudy.analysis.plots.line(ds, "nll")`.
The command line describes itself: `cimstudy --help`, `cimstudy run --help`.
"""


def page() -> str:
    """The whole page."""
    seen: set[int] = set()
    lines = [line for room in ROOMS for line in room_lines(room, seen)]
    return "\n".join([HEAD, *lines]).rstrip() + "\n"


def room_lines(name: str, seen: set[int]) -> Iterator[str]:
    """The names of one room that no room before it has shown."""
    room = importlib.import_module(name)
    yield from [f"## {name}", "", *(() if name == "cimstudy" else (inspect.getdoc(room) or "", ""))]
    for member in sorted(room.__all__, key=str.lower):
        value = getattr(room, member)
        if not inspect.ismodule(value) and id(value) not in seen:
            seen.add(id(value))
            yield from [f"### {name}.{member}", "", *member_lines(value)]


def member_lines(value: Any) -> Iterator[str]:
    """What to say of one name."""
    if inspect.isclass(value):
        yield from class_lines(value)
    elif inspect.isfunction(value):
        yield from function_lines(definition(value))
    elif isinstance(value, int):
        yield from [f"`{value}`", ""]
    else:
        yield from ["One of several parts; the fields that take it say which.", ""]


def class_lines(kind: type) -> Iterator[str]:
    """A class: its text, its fields, and its own public methods."""
    yield from [inspect.getdoc(kind) or "", ""]
    yield from field_lines(kind)
    for node in definition(kind).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield from function_lines(node)


def field_lines(kind: type) -> Iterator[str]:
    """A table of what an instance holds: the annotated names of the class and of its own bases."""
    bases = [base for base in reversed(kind.__mro__) if base.__module__.startswith("cimstudy") and base is not Part]
    fields = {node.target.id: node for base in bases for node in definition(base).body if is_field(node)}
    if not fields:
        return
    yield from ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, node in fields.items():
        cells = (f"`{name}`", f"`{plain_type(node)}`", default_of(node), meaning_of(node))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def is_field(node: ast.stmt) -> bool:
    """Whether a line of a class declares a public field."""
    if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
        return False
    return not node.target.id.startswith("_") and node.target.id != "model_config"


def plain_type(node: Any) -> str:
    """The annotation without what it says beside the type."""
    return ast.unparse(Plain().visit(ast.parse(ast.unparse(node.annotation), mode="eval")))


class Plain(ast.NodeTransformer):
    """`Annotated[X, ...]` as `X`."""

    def visit_Subscript(self, found: ast.Subscript) -> ast.AST:
        """A subscript, without what is said beside the type."""
        self.generic_visit(found)
        annotated = isinstance(found.value, ast.Name) and found.value.id == "Annotated"
        return found.slice.elts[0] if annotated and isinstance(found.slice, ast.Tuple) else found


def default_of(node: Any) -> str:
    """The default of a field."""
    if node.value is None:
        return "needed"
    if not is_field_call(node.value):
        return f"`{ast.unparse(node.value)}`"
    known = {each.arg: each.value for each in node.value.keywords}
    return f"`{ast.unparse(known['default'])}`" if "default" in known else "needed"


def meaning_of(node: Any) -> str:
    """What a field means, and its limits."""
    calls = [each for part in (node.annotation, node.value) if part is not None for each in ast.walk(part)]
    given = {each.arg: each.value for call in calls if is_field_call(call) for each in call.keywords}
    text = ast.literal_eval(given["description"]) if "description" in given else ""
    limits = [f"{words} {ast.unparse(given[name])}" for name, words in LIMITS.items() if name in given]
    return "; ".join([text, *limits] if text else limits)


def is_field_call(node: Any) -> TypeGuard[ast.Call]:
    """Whether this is a call of pydantic's Field."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Field"


def function_lines(node: ast.FunctionDef) -> Iterator[str]:
    """A function or method: its signature and its text."""
    names = [each.id for each in node.decorator_list if isinstance(each, ast.Name)]
    returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    if "property" in names:
        head = f"{node.name}{returns.replace(' -> ', ': ')}"
    else:
        head = f"{node.name}({ast.unparse(node.args)}){returns}"
    yield from ["```text", *textwrap.wrap(head, 110, subsequent_indent="    "), "```", ""]
    yield from [ast.get_docstring(node) or "", ""]


def definition(value: Any) -> Any:
    """The syntax tree of a class or function."""
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
