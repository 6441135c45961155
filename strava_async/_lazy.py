"""Packages that load a module when one of its names is first asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib import import_module
from types import MappingProxyType
from typing import Any

from strava_async._extras import extra

_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_EXTRA: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def lazy(
    package: str,
    modules: Mapping[str, str],
    *,
    then: Mapping[str, str] = _NOTHING,
    needs: Mapping[str, tuple[str, ...]] = _NO_EXTRA,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's ``__getattr__`` and ``__dir__`` (PEP 562).

    Args:
        package: the full name of the package.
        modules: for each name that it exports, the module that defines the name: one in it, or in ``strava_async`` by
            its full name.
        then: for some of them, a function of that module which is called before the name is returned.
        needs: the extra that the package needs, and the libraries which that brings.
    """

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with ExitStack() as extras:
            for brought_by, libraries in needs.items():
                extras.enter_context(extra(brought_by, package, *libraries))
            where = modules[name]
            module = import_module(where if where.startswith("strava_async.") else f"{package}.{where}")
        if name in then:
            getattr(module, then[name])()
        value = getattr(module, name)
        setattr(sys.modules[package], name, value)  # the next time it is found without this function
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return find, names
