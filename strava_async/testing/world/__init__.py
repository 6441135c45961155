"""The emulator's data: athletes who don't exist, with years of believable training.

Rules:

- Pure: no clock, no input or output, no global randomness. ``now`` comes in; the same arguments give the same world.
- What a list shows (the summaries) is made at once, within a fraction of a second for five years. What a single
  activity shows (streams, laps, comments ...) is made on demand, from the activity's own seed, and agrees with its
  summary.
- People and numbers are invented; towns are real; the shapes, gaps and oddities are those that Strava sends.
"""

from strava_async.testing.world.athlete import AthleteWorld
from strava_async.testing.world.generate import generate_athlete, generate_summary_profile
from strava_async.testing.world.plan.timezones import start_of
from strava_async.testing.world.record.samples import Json, Sample

__all__ = ["AthleteWorld", "Json", "Sample", "generate_athlete", "generate_summary_profile", "start_of"]
