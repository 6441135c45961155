"""Segments along the routes, and the efforts on them."""
