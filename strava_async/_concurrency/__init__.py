"""Tools for tasks, threads and event loops, on asyncio and trio: nothing here knows Strava."""
