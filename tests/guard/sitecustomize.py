"""Imported by each Python that a test starts: ``clean_environment`` puts this folder into its PYTHONPATH."""

from tests.guard import loopback_only

loopback_only.install()
