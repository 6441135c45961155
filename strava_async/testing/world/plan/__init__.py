"""The athlete, their places, gear and training plan: everything that precedes a recording."""
