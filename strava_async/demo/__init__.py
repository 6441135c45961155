"""``strava-async demo``: an athlete's activities, harvested into a file from a Strava in this process.

``harvest`` is the part to read, and the way to write such a job; ``store`` is where it keeps things. ``run`` sets the
stage; ``frame`` says what can be seen of a harvest, ``display`` and ``plain`` show it.
"""
