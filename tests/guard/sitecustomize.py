"""Imported by each Python that a test starts: ``clean_environment`` puts this folder into its PYTHONPATH."""

from tests.guard import loopback_only
from tests.guard.sleeping import mend_sleep

loopback_only.install()
mend_sleep()
