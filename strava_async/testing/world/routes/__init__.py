"""Routes: drawn, saved by athletes, shown, and exported."""
