"""Strava's endpoints by tag, with typed answers: what ``Client`` is made of. Needs the extra ``models``."""

from importlib.util import find_spec

from strava_async.errors import InputError

if find_spec("pydantic") is None:
    raise InputError("typed answers need the extra: pip install 'strava-async[models]'. client.api goes without")
