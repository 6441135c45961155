"""What a Redis server's settings mean, and what its errors say."""

import pytest

from strava_async.errors import TokenStoreError
from strava_async.stores.redis_errors import reason
from strava_async.stores.redis_settings import Settings, settings_of

INFO = "# Server\r\nredis_version:{version}\r\n# Memory\r\nmaxmemory:{maxmemory}\r\nmaxmemory_policy:{policy}\r\n"
INFO += "# Persistence\r\naof_enabled:{aof}\r\n"


def told(version: str = "7.0.15", maxmemory: int = 0, policy: str = "noeviction", aof: int = 1) -> str:
    return INFO.format(version=version, maxmemory=maxmemory, policy=policy, aof=aof)


@pytest.mark.parametrize(
    ("version", "aof", "fsync", "confirms", "loses"),
    [
        ("7.0.15", 1, "always", False, ""),
        ("7.0.15", 1, "everysec", False, "last second"),
        ("7.0.15", 1, "no", False, "half minute"),
        ("7.0.15", 1, None, False, "does not tell"),
        ("7.2.0", 1, "everysec", True, ""),
        ("7.2.4", 1, None, True, ""),
        ("8.0.1", 1, "always", True, ""),
        ("10.0.0", 1, "always", True, ""),
        ("7.2.0", 1, "no", False, "half minute"),
        ("7.2.0", 0, None, False, "set appendonly yes"),
        ("7.0.0", 0, None, False, "set appendonly yes"),
    ],
)
def test_how_safe_a_write_is(version: str, aof: int, fsync: str | None, confirms: bool, loses: str) -> None:
    settings = settings_of(told(version, aof=aof), fsync)
    assert settings.confirms is confirms
    said = settings.loses("tokens saved", waits=True)
    assert loses in said
    assert bool(loses) == bool(said)
    settings.check("Redis", "athletes", TokenStoreError)


@pytest.mark.parametrize("version", ["7.0.15", "8.2.0"])
@pytest.mark.parametrize(("fsync", "loses"), [("always", ""), ("everysec", "last second of events"), ("no", "half")])
def test_who_does_not_wait_for_the_log_needs_one_that_is_written_at_once(version: str, fsync: str, loses: str) -> None:
    said = settings_of(told(version), fsync).loses("events accepted", waits=False)
    assert loses in said
    assert bool(loses) == bool(said) == said.endswith(": set appendfsync always")


@pytest.mark.parametrize(
    ("maxmemory", "policy", "evicts"),
    [
        (0, "allkeys-lru", ""),
        (1, "allkeys-lru", "allkeys-lru"),
        (1, "allkeys-random", "allkeys-random"),
        (1, "allkeys-lfu", "allkeys-lfu"),
        (1, "volatile-lru", ""),  # tokens never expire
        (1, "volatile-ttl", ""),
        (1, "noeviction", ""),
    ],
)
def test_what_may_throw_tokens_away_is_refused(maxmemory: int, policy: str, evicts: str) -> None:
    settings = settings_of(told(maxmemory=maxmemory, policy=policy))
    assert settings.evicts == evicts
    if evicts:
        with pytest.raises(TokenStoreError, match=rf"^Redis throws keys away .*{policy}.*noeviction"):
            settings.check("Redis", "athletes", TokenStoreError)


@pytest.mark.parametrize("version", ["6.2.14", "2.8.0"])
def test_an_old_server_is_refused(version: str) -> None:
    with pytest.raises(TokenStoreError, match="use 7 or later"):
        settings_of(told(version)).check("Redis", "athletes", TokenStoreError)


def test_a_server_that_tells_nothing_is_taken_for_the_least_safe() -> None:
    settings = settings_of("")
    assert settings == Settings((0, 0), logs=False)
    settings.check("Redis", "athletes", TokenStoreError)
    assert settings.loses("tokens saved", waits=True)


class NoPermissionError(Exception):
    """As redis-py calls it."""


class RefusedError(ConnectionError):
    """Something below OSError."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        # In a script; of 7.0, of 7.2; outside of one, as redis-py tells them or as they come.
        (
            Exception("STRAVA COMMAND HSET script: abc, on @user_script:1."),
            "denies this user the command HSET: add +hset to",
        ),
        (NoPermissionError("this user has no permissions to run the 'eval' command"), "add +eval to its ACL"),
        (NoPermissionError("User low has no permissions to run the 'config|get' command"), "add +config|get to"),
        (Exception("NOPERM this user has no permissions to run the 'wait' command or its subcommand"), "add +wait to"),
        (Exception("STRAVA KEYS script: abc"), "add ~{k}:* to its ACL"),
        (NoPermissionError("No permissions to access a key"), "add ~{k}:* to its ACL"),
        (NoPermissionError("this user has no permissions to access one of the keys used as arguments"), "add ~{k}:*"),
        (Exception("unknown command 'WAITAOF', with args beginning with: 's3cret' "), "know the command WAITAOF"),
        (Exception("READONLY You can't write against a read only replica."), "is a read-only replica"),
        (Exception("NOREPLICAS Not enough good replicas to write."), "min-replicas-to-write"),
        (Exception("MISCONF Redis is configured to save RDB snapshots, s3cret"), "cannot write to its disk"),
        (Exception("s3cret is not known"), "answered with an error (Exception)"),
        (Exception("ERRORS of s3cret"), "answered with an error (Exception)"),
        (TimeoutError("s3cret"), "did not answer in time"),
        (RefusedError("s3cret"), "cannot be reached"),
        (OSError("s3cret"), "cannot be reached"),
    ],
)
def test_an_error_is_a_sentence_with_its_remedy_and_shows_nothing_that_was_sent(error: Exception, said: str) -> None:
    sentence = reason(error, "{k}:*")
    assert said in sentence
    assert "s3cret" not in sentence
