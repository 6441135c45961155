"""What a part of this package needs beyond the required dependencies: an extra, to be named where it is missing."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def extra(name: str, part: str, *libraries: str) -> Generator[None]:
    """Have imports that fail for want of an extra say how to install it.

    Args:
        name: the extra.
        part: what needs it, as the error names it.
        libraries: what the extra brings; the absence of anything else is raised as it is.

    Raises:
        ModuleNotFoundError: one of the libraries is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in libraries:
            raise
        raise ModuleNotFoundError(
            f'{part} needs more packages: pip install "strava-async[{name}]"', name=error.name, path=error.path
        ) from error
