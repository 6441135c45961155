"""Imports go downward only, the pure modules are pure, and nothing outside its extra imports an extra."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "strava_async"

# From the ground up: folders, and modules that stand alone. They import from their own folder and from rows above.
LAYERS = [
    "_extras errors",
    "_lazy _types _hidden clock",
    "_concurrency quota oauth",
    "paging stores tracks",
    "limiter",
    "tokens",
    "request",
    "_http telemetry models",
    "protocol testing",
    "resources webhooks",
    "client redis",
    "login",
    "application",
    "harvest",
    "display",
    "fastapi demo",
    "cli",
    "__main__",
]
# Public paths that answer with what is elsewhere.
DOORS = {"retry": "request", "endpoints": "request", "hooks": "telemetry", "otel": "telemetry", "state": "oauth"}

PURE_FOLDERS = {"quota", "oauth", "tracks"}
PURE = {
    "errors",
    "_types",
    "_hidden",
    "_lazy",
    "paging.pages",
    "limiter.queue",
    "limiter.redis_layout",
    "limiter.redis_packing",
    "tokens.generations",
    "webhooks.events",
}
PURE |= {
    "request.call",
    "request.endpoints",
    "request.reply",
    "request.retry",
    "request.redaction",
    "request.multipart",
}
PURE |= {"stores.redis_scripts", "stores.redis_errors", "stores.redis_settings", "stores.sealing"}
PURE |= {f"webhooks.redis_{name}" for name in ("scripts", "owner_scripts", "admin_scripts", "values")}
PURE |= {f"harvest.{name}" for name in ("agenda", "base", "estimate", "failures", "kinds", "listing", "outcome")}
PURE |= {f"harvest.export.{name}" for name in ("base", "columns", "layouts", "notes")}
PURE |= {
    f"harvest.{name}" for name in ("list_state", "plan", "retries", "rows", "runs", "sqlite_schema", "tally", "tasks")
}
PURE |= {"display.frame", "display.wording", "display.events", "display.plain"}
PURE |= {"cli.quota_rows", "request.json_values", "request.decompression", "login.pages"}
IMPURE = {"anyio", "asyncio", "trio", "httpx", "httpx2", "time", "os", "random", "sniffio", "logging"}
EXTRAS = {"opentelemetry", "starlette", "uvicorn", "fastapi", "redis", "rich", "typer", "multipart", "python_multipart"}
TYPED = {"pydantic", "pydantic_core", "polyline", "numpy", "pandas", "pyarrow"}
# Who may import what an extra brings: these, and nobody else.
ALLOWED = {
    "telemetry.otel": {"opentelemetry"},
    "telemetry.otel_webhooks": {"opentelemetry"},
    "stores.redis": {"redis"},
    "limiter.redis": {"redis"},
    "limiter.redis_place": {"redis"},
    "stores.redis_client": {"redis"},
    "webhooks.redis_store": {"redis"},
    "models": TYPED,
    "resources": TYPED,
    "testing": {"starlette", "uvicorn", "multipart", "python_multipart"},
    "demo": {"starlette"},
    "display": {"rich"},
    "cli.redis": {"redis"},
    "harvest.export.parquet": {"pyarrow"},
    "cli": {"rich", "typer", "starlette", "uvicorn"},
    "fastapi": {"fastapi", "starlette", *TYPED},
}
TAKEN_UP_WHERE_INSTALLED = {
    "orjson": "request.json_values",
    "cryptography": "stores.encryption",
    "aiohttp": "_http.aiohttp_sender",
}


@cache
def modules() -> dict[str, Path]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


@cache
def imports(path: Path) -> set[str]:
    """Return the full names of the modules that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from strava_async.login import pages` imports a module of a folder.
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in names if name.removeprefix("strava_async.") in modules()} or {node.module}
    return found


def own(path: Path) -> set[str]:
    """Return the modules of this package that a module imports."""
    return {name.removeprefix("strava_async.") for name in imports(path) if name.split(".")[0] == "strava_async"}


def folder(name: str) -> str:
    return DOORS.get(name, name.split(".")[0])


def inside(row: str) -> Iterator[tuple[str, Path]]:
    for name, path in modules().items():
        if folder(name) in row.split():
            yield name, path


def test_every_module_has_its_layer() -> None:
    assert {folder(name) for name in modules()} - {"__init__"} == set(" ".join(LAYERS).split())


@pytest.mark.parametrize("row", LAYERS)
def test_a_layer_imports_from_its_own_folder_and_from_below(row: str) -> None:
    below = set(" ".join(LAYERS[: LAYERS.index(row)]).split())
    upward = {
        f"{name} -> {found}"
        for name, path in inside(row)
        for found in own(path)
        if folder(found) not in {folder(name), *below, "strava_async"}
    }
    assert not upward


def test_no_module_imports_in_a_circle() -> None:
    above: list[str] = []
    done: set[str] = set()

    def visit(name: str) -> None:
        assert name not in above, " -> ".join([*above[above.index(name) :], name])
        if name in done:
            return
        above.append(name)
        for found in sorted(eager(modules()[name])):
            visit(found)
        done.add(above.pop())

    for name in modules():
        if name not in {"__init__", "__main__"}:
            visit(name)


@cache
def eager(path: Path) -> set[str]:
    """Return the modules that are imported together with one: neither in a function nor for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        later = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        if later or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("strava_async."):
            base = node.module.removeprefix("strava_async.")
            found |= {f"{base}.{alias.name}" for alias in node.names if f"{base}.{alias.name}" in modules()} or {base}
    return {name for name in found if modules().get(name) != path}


def test_nothing_imports_an_extra_but_its_own_part() -> None:
    found = {
        f"{name} imports {library}"
        for name, path in modules().items()
        for library in {found.split(".")[0] for found in imports(path)} & (EXTRAS | TYPED)
        if library not in ALLOWED.get(name, set()) | ALLOWED.get(folder(name), set())
    }
    assert not found


def test_a_pure_module_imports_nothing_impure() -> None:
    assert modules().keys() >= PURE
    found = {
        f"{name} imports {library}"
        for name, path in modules().items()
        if name in PURE or folder(name) in PURE_FOLDERS
        for library in {found.split(".")[0] for found in imports(path)} & IMPURE
    }
    assert not found


def test_one_place_imports_the_http_library() -> None:
    users = {
        name for name, path in modules().items() if {name.split(".")[0] for name in imports(path)} & {"httpx", "httpx2"}
    }
    assert users == {f"_http.{name}" for name in ("asgi", "connections", "own_senders", "pool", "trust")}


@pytest.mark.parametrize(("library", "module"), TAKEN_UP_WHERE_INSTALLED.items())
def test_one_place_takes_up_what_may_not_be_installed(library: str, module: str) -> None:
    users = {name for name, path in modules().items() if library in {name.split(".")[0] for name in imports(path)}}
    assert users == {module}


def test_nothing_inside_imports_the_package_root() -> None:
    # The command line says the version.
    assert {name for name, path in modules().items() if "strava_async" in imports(path)} <= {"cli.commands"}


@pytest.mark.parametrize("package", sorted(name for name, path in modules().items() if path.name == "__init__.py"))
def test_a_package_exports_and_defines_nothing(package: str) -> None:
    for node in ast.parse(modules()[package].read_text(encoding="utf-8")).body:
        assert not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)), ast.unparse(node)[:80]


def test_importing_the_package_imports_no_extra_and_no_event_loop() -> None:
    # httpx brings along what its own command line finds installed, such as rich.
    script = """
import sys, httpx, anyio, sniffio
before = set(sys.modules)
import strava_async
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "strava_async" in loaded
    not_yet = {"aiohttp", "httpx_aiohttp", "httpx2", "asyncio", "trio", "sqlite3", "cryptography", "webbrowser"}
    assert not set(loaded) & (EXTRAS | TYPED | not_yet)


def test_an_api_alone_does_not_load_what_many_athletes_need() -> None:
    script = """
import sys, strava_async
print(*sys.modules)
print(strava_async.Strava.__name__, strava_async.Client.__name__, strava_async.StateSigner.__name__)
assert all(hasattr(strava_async, name) for name in strava_async.__all__)
assert not hasattr(strava_async, "Nothing")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded, names = run.stdout.splitlines()
    later = ("application", "tokens.accounts", "stores.memory", "stores.sqlite", "oauth.state", "subscriptions")
    assert not {f"strava_async.{name}" for name in later} & set(loaded.split())
    assert names == "Strava Client StateSigner"
