"""What a Protocol asks for, read from its source: attributes with their notes, methods with their docs."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from textwrap import dedent, indent


def members(protocol: type) -> str:
    """A list of the members of `protocol`: each with its signature and what its docstring says."""
    (node,) = ast.parse(dedent(inspect.getsource(protocol))).body
    assert isinstance(node, ast.ClassDef)
    parts = (part for name, text in _members(node) for part in (f"* `{name}`", indent(text, "  ")))
    return "\n\n".join(part for part in parts if part)


def _members(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement, following in pairwise([*node.body, ast.Pass()]):
        if isinstance(statement, ast.AnnAssign):
            yield ast.unparse(statement), _note(following)
        elif isinstance(statement, ast.FunctionDef):
            returns = f" -> {ast.unparse(statement.returns)}" if statement.returns else ""
            yield f"{statement.name}({_arguments(statement)}){returns}", ast.get_docstring(statement) or ""


def _arguments(function: ast.FunctionDef) -> str:
    return ast.unparse(function.args).removeprefix("self").removeprefix(", ")


def _note(statement: ast.stmt) -> str:
    """The string below an attribute, as docstrings are written."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
    return ""
