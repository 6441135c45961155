"""The endpoints of Strava's API, and those of OAuth that hand out tokens."""
