"""Rare values, which clients forget because nearly all activities have the common one.

Each has random numbers of its own, so that nothing else depends on it. The rates are higher than in the recordings
where these have one in a thousand, so that a few hundred activities hold it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from strava_async.testing.world.record.samples import Json

_NAMELESS = 1 / 300  # one of 1,132 in the recordings
_FLAGGED = 1 / 300  # likewise
_INSTAGRAM = 0.06  # of those with photos; none in the recordings
_KUDOED = 1 / 150  # none in the recordings, which are all of one's own
_MUTED = 0.03
_RATED = 0.08
_BEST = 0.12


def with_rare_values(rng: random.Random, summary: Json) -> Json:
    """Return a SummaryActivity, now and then with a rare value.

    ``photo_count`` (photos from Instagram, which ``total_photo_count`` includes) and ``has_kudoed`` are documented; no
    recording shows them otherwise than 0 and false.
    """
    nameless, flagged, instagram, kudoed = (rng.random() for _ in range(4))
    rare: Json = {}
    if nameless < _NAMELESS:
        rare["name"] = ""
    if flagged < _FLAGGED:
        rare["flagged"] = True
    if kudoed < _KUDOED:
        rare["has_kudoed"] = True
    if summary["total_photo_count"] and instagram < _INSTAGRAM:
        rare["photo_count"] = 1
    return summary | rare


def perceived_exertion(rng: random.Random) -> Json:
    """Return the perceived exertion, mostly null, and whether the activity is muted.

    The number's type is not known: it is an integer here. Beside null ``prefer_perceived_exertion`` comes
    as null and as false. ``hide_from_home`` is documented, and false in the recordings.
    """
    rated, exertion, prefer, muted = rng.random(), rng.randint(1, 10), rng.random(), rng.random()
    fields: Json = {"perceived_exertion": None, "prefer_perceived_exertion": None if prefer < 0.8 else False}
    if rated < _RATED:
        fields = {"perceived_exertion": exertion, "prefer_perceived_exertion": prefer < 0.5}
    return fields | {"hide_from_home": muted < _MUTED}


def ranked(rng: random.Random, efforts: Sequence[Json], *, race: bool) -> list[Json]:
    """Return the best efforts of a run, one of them among the athlete's three best now and then.

    That one comes first, as in the recording, and does not count into the ``pr_count`` and ``achievement_count`` of the
    summary, as there. It is not reckoned from the times of other activities.
    """
    chance, which, rank = rng.random(), rng.random(), rng.randint(1, 3)
    if not efforts or chance >= (0.5 if race else _BEST):
        return list(efforts)
    place = len(efforts) - 1 if race else int(which * len(efforts))
    best = efforts[place] | {"pr_rank": rank, "achievements": [{"type_id": 3, "type": "pr", "rank": rank}]}
    return [best, *efforts[:place], *efforts[place + 1 :]]
