"""Strava for asyncio and trio."""
