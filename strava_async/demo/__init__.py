"""``strava-async demo``: an athlete's activities, harvested into a file from a Strava in this process.

``harvest`` is the part to read, and an example of such a job; ``store`` is its file. ``run`` sets up the emulator and
connects the athlete; ``frame`` is the state of a harvest to be shown, ``display`` and ``plain`` show it.
"""
