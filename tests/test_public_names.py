"""What the signatures of public names speak of is public too: to be imported from a module without an underscore."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Annotated, Any, TypeVar, get_origin

import pytest

import strava_async
from strava_async import fastapi, harvest, limiter, models, oauth, quota, redis, stores, testing, webhooks

# What no caller passes: a sentinel, what wraps secrets inside of the library, and what a model was read from.
OURS = {"Unset", "Hidden", "Body", "Step"}
PACKAGES = [strava_async, fastapi, harvest, limiter, models, oauth, quota, redis, stores, testing, webhooks]


def exports(module: ModuleType) -> dict[str, Any]:
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return {name: getattr(module, name) for name in names}


@cache
def syntax(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))


@cache
def homes(module: str) -> dict[str, str]:
    """Return the names of this package that a module defines or imports, and where each is defined."""
    found: dict[str, str] = {}
    for node in ast.walk(syntax(module)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("strava_async"):
            found |= {alias.asname or alias.name: node.module for alias in node.names}
    for node in syntax(module).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = module
        elif isinstance(node, ast.Assign):
            found |= {target.id: module for target in node.targets if isinstance(target, ast.Name)}
    return found


def annotations(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the annotations that users of a class or function see: of parameters, results, attributes, properties."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        if node.name.startswith("_") and node.name not in {"__init__", "__call__", "__aenter__", "__enter__"}:
            return
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        yield from (arg.annotation for arg in every if arg is not None and arg.annotation is not None)
        if node.returns is not None:
            yield node.returns
    elif isinstance(node, ast.AnnAssign):
        if isinstance(node.target, ast.Name) and not node.target.id.startswith("_"):
            yield node.annotation
    elif isinstance(node, ast.ClassDef):
        for inner in node.body:
            yield from annotations(inner)


def spoken_of(value: Any) -> set[str]:
    """Return the names in the annotations of a class or function."""
    (node,) = (each for each in syntax(value.__module__).body if getattr(each, "name", None) == value.__name__)
    return {name.id for each in annotations(node) for name in ast.walk(each) if isinstance(name, ast.Name)}


def is_hidden(name: str, home: str) -> bool:
    """Say whether a name that belongs to this package can be had from no public module."""
    value = getattr(sys.modules[home], name)
    if isinstance(value, ModuleType | TypeVar) or get_origin(value) is Annotated:  # which type checkers see through
        return False
    if any(name in exports(module) for module in PACKAGES):
        return False
    return any(part.startswith("_") for part in (*home.split("."), name))


def hidden_names(value: Any) -> set[str]:
    """Return the names in the signatures of a class or function that its users cannot import."""
    spoken = {name: home for name, home in homes(value.__module__).items() if name in spoken_of(value) - OURS}
    for home in spoken.values():
        importlib.import_module(home)
    return {name for name, home in spoken.items() if is_hidden(name, home)}


@pytest.mark.parametrize("module", PACKAGES, ids=lambda module: module.__name__)
def test_what_a_signature_speaks_of_is_public(module: ModuleType) -> None:
    values = {
        name: value
        for name, value in exports(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.startswith("strava_async")
    }
    assert not {name: hidden for name, value in values.items() if (hidden := hidden_names(value))}
