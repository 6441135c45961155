"""``strava-async demo``: an athlete's activities, harvested into a file from a Strava in this process.

``run`` sets up the emulator, connects the athlete, and runs a ``Harvest``; ``display`` shows it.
"""
