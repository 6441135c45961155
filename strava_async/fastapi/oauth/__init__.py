"""The routes by which an athlete connects, disconnects and signs out."""
