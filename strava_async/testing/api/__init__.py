"""The endpoints of Strava's API, and the OAuth endpoints that issue tokens."""
