"""Fixtures of the tests of webhooks."""

from tests.webhooks.event_stores import kind_of_store as kind_of_store
from tests.webhooks.event_stores import stores as stores
