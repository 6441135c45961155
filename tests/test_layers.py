"""Imports go downward only, the pure modules are pure, and nothing outside its extra imports an extra."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "strava_async"

# From the ground up. A module imports from layers below its own, never from beside it.
LAYERS: list[set[str]] = [
    {"errors", "clock", "_shapes", "_unset", "_extras", "_http.quiet", "_http.gate", "_http.asgi", "_carried"}
    | {"_hidden", "_http.frames"}
    | {"json_values", "redaction", "unpacking"},
    {"_credentials", "scopes", "_reading_threads"},
    {"excerpts", "oauth", "quota", "quota_fields", "retry", "paging", "state", "webhooks", "_pages"}
    | {"multipart", "quota_turn", "quota_witness", "_http.proxies", "_http.trust"}
    | {"_carried_asyncio", "_carried_trio", "_async_only", "limiter_park", "_loop_binding"}
    | {"stores.private_files", "stores.file_errors", "stores.sealing", "stores._threads", "stores._turns"}
    | {"stores.lease", "_concurrency"},
    {
        "_shield",
        "_walks",
        "generations",
        "quota_clock",
        "quota_reserve",
        "endpoints",
        "hooks",
        "redirect_server",
        "stores.base",
    }
    | {"_private_page", "quota_meter", "stores._values", "stores.file_lock", "stores.sqlite_file", "_http.pool"},
    {"_concurrency.single_flight", "_expiry", "quota_budget", "quota_window", "calls", "stores.memory"}
    | {"stores.sqlite_rows", "stores.adapter", "stores.sqlite_shared", "token_state", "token_persistence"},
    {"quota_ceiling", "token_holder", "wire", "stores.sqlite"},
    {"token_grant"},
    {"tokens"},
    {"quota_wait", "models", "_reports", "_http.attempt", "_http.incoming"},
    {"quota_ledger", "_hook_reports", "_http.httpx_adapter", "_http.aiohttp_adapter"},
    {"quota_snapshot", "limiter_line", "limiter_permit", "_http.own_adapters", "_http.callers_client"},
    {"limiter_log", "_http.connections"},
    {"limiter_gate"},
    {"limiter"},
    {"_http.sender"},
    {"_http"},
    {"_exchange"},
    {"stores", "protocol"},
    {"accounts", "resources", "subscriptions"},
    {"client"},
    {"login"},
    {"application"},
]
PURE = {
    *(
        "_credentials",
        "_hidden",
        "oauth",
        "generations",
        "token_state",
        "scopes",
        "retry",
        "paging",
        "calls",
        "multipart",
        "wire",
        "endpoints",
        "state",
        "webhooks",
        "_pages",
    ),
    *("quota", "quota_budget", "quota_ceiling", "quota_clock", "quota_fields", "quota_ledger", "quota_meter"),
    *("quota_reserve", "quota_snapshot", "quota_turn", "quota_wait", "quota_window", "quota_witness"),
    *("limiter_line", "excerpts", "json_values", "multipart", "redaction", "unpacking"),
}
IMPURE = {"anyio", "asyncio", "trio", "httpx", "httpx2", "time", "os", "random", "sniffio", "logging"}
EXTRAS = {"opentelemetry", "starlette", "uvicorn", "fastapi", "redis", "rich", "typer", "multipart", "python_multipart"}
# The typed client: each package is one layer, and it alone may import what its extra brings.
TYPED = {"models", "resources"}
OF_THE_TYPED = {"pydantic", "pydantic_core", "polyline", "numpy", "pandas", "pyarrow"}
TAKEN_UP_WHERE_INSTALLED = {
    "orjson": "json_values",
    "cryptography": "stores.sealing",
    "aiohttp": "_http.aiohttp_adapter",
}
ABOVE_THE_CORE = {"fastapi", "otel", "testing", "demo", "cli", "__main__"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"), path


def imports(path: Path) -> set[str]:
    """Return the full names that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "strava_async"}
    return found


def own(names: set[str]) -> set[str]:
    """Return the modules of this package among the names, as ``LAYERS`` calls them."""
    known = set.union(*LAYERS)
    found = {name.removeprefix("strava_async.") for name in names if name.startswith("strava_async.")}
    return {name if name in known else name.split(".")[0] for name in found}


def layered(name: str) -> str:
    """Return the name that ``LAYERS`` has for a module: for those of a typed package, the package's."""
    package = name.split(".")[0]
    return package if package in TYPED else name


CORE = [(name, path) for name, path in modules() if name.split(".")[0] not in ABOVE_THE_CORE and name != "__init__"]


def test_every_core_module_has_its_layer() -> None:
    assert {layered(name) for name, _ in CORE} == set.union(*LAYERS)


@pytest.mark.parametrize(("name", "path"), CORE, ids=[name for name, _ in CORE])
def test_a_module_imports_from_below(name: str, path: Path) -> None:
    height = next(index for index, layer in enumerate(LAYERS) if layered(name) in layer)
    below = set[str]().union(*LAYERS[:height])
    assert own(imports(path)) - {layered(name)} <= below


@pytest.mark.parametrize(("name", "path"), CORE, ids=[name for name, _ in CORE])
def test_the_core_imports_no_extra(name: str, path: Path) -> None:
    forbidden = EXTRAS if layered(name) in TYPED else EXTRAS | OF_THE_TYPED
    assert not {found.split(".")[0] for found in imports(path)} & forbidden


@pytest.mark.parametrize(("name", "path"), [entry for entry in CORE if entry[0] in PURE], ids=sorted(PURE))
def test_a_pure_module_imports_nothing_impure(name: str, path: Path) -> None:
    assert not {found.split(".")[0] for found in imports(path)} & IMPURE


def test_one_place_imports_the_http_library() -> None:
    users = {name for name, path in modules() if {found.split(".")[0] for found in imports(path)} & {"httpx", "httpx2"}}
    assert users == {f"_http.{name}" for name in ("asgi", "connections", "own_adapters", "pool", "trust")}


@pytest.mark.parametrize(("library", "module"), TAKEN_UP_WHERE_INSTALLED.items())
def test_one_place_takes_up_what_may_not_be_installed(library: str, module: str) -> None:
    assert {name for name, path in modules() if library in {found.split(".")[0] for found in imports(path)}} == {module}


def test_nothing_inside_imports_the_package_root() -> None:
    for name, path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "strava_async":
                # `from strava_async import oauth` is a module; anything else would be a name of the root.
                assert {alias.name for alias in node.names} <= set.union(*LAYERS), name


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
    assert not set(loaded) & (EXTRAS | OF_THE_TYPED | not_yet)


def test_an_api_alone_does_not_load_what_many_athletes_need() -> None:
    script = """
import sys, strava_async
print(*sys.modules)
print(strava_async.Strava.__name__, strava_async.Client.__name__, strava_async.StateSigner.__name__)
assert all(hasattr(strava_async, name) for name in strava_async.__all__)
assert not hasattr(strava_async, "Nothing")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules, names = run.stdout.splitlines()
    later = {f"strava_async.{name}" for name in ("application", "accounts", "stores", "state", "subscriptions")}
    assert not later & set(modules.split())
    assert names == "Strava Client StateSigner"
