"""What the API shows of an athlete's activities: summaries, details, laps, zones, statistics, clubs."""
