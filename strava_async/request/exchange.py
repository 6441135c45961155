"""The exchange: the only place that knows the order in which a request is made.

::

    0 prepare   a missing scope is refused; tokens that other processes share are read
    1 acquire   a permit: quota is reserved before anything is sent; the wait may be long
    2 bearer    chosen after the wait, because a token may expire meanwhile
    3 send      one HTTP request
    4 settle    the permit, with what the reply says; released only if nothing left this machine
    5 decide    return a value; after an error wait, refresh or raise: pure, in ``retry``

A reply in hand is returned at once; only the next request waits. The call's ``Report`` calls the hooks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, assert_never

from strava_async._concurrency.shield import cancellable
from strava_async._hidden import Hidden
from strava_async.clock import Clock
from strava_async.errors import FaultError, InputError, RateLimitedError, StravaError, TransportError
from strava_async.limiter.base import Limiter, Permit
from strava_async.limiter.unlimited import Unlimited
from strava_async.quota.values import Priority
from strava_async.request.call import Call
from strava_async.request.options import LEAST_ATTEMPT_SECONDS, Options
from strava_async.request.outgoing import OutgoingRequest
from strava_async.request.permit_budget import PermitBudget
from strava_async.request.reply import LARGE_BODY_BYTES, Reply
from strava_async.request.reports import Report, Reports, Sending
from strava_async.request.results import Decode, read, read_json, read_leniently
from strava_async.request.sender import Sender
from strava_async.tokens.source import TokenSource


class _Ended:
    """How an attempt ended: with a value, or an error and the reply if there was one; and which bearer went along."""

    __slots__ = ("bearer", "error", "reply", "value")

    def __init__(self, value: Any, error: StravaError | None, reply: Reply | None, bearer: Hidden[str] | None) -> None:
        self.value = value
        self.error = error
        self.reply = reply
        self.bearer = bearer


class Exchange:
    """Turns a ``Call`` into its value. One for all athletes of an application.

    Args:
        limiter: grants permits.
        sender: sends the requests.
        clock: the waits between attempts.
        random: returns jitter from [0, 1).
        reports: receives what happens; None reports nothing.
    """

    def __init__(
        self,
        limiter: Limiter,
        sender: Sender,
        clock: Clock,
        random: Callable[[], float],
        reports: Reports | None = None,
    ) -> None:
        self._limiter = limiter
        self._sender = sender
        self._clock = clock
        self._random = random
        self._reports = reports or Reports()
        self._unmetered = Unlimited()

    async def run(
        self,
        call: Call,
        tokens: TokenSource | None,
        options: Options,
        *,
        check_for_errors: bool = True,
        decode: Decode | None = None,
    ) -> Any:
        """Make the call, with whatever waiting, refreshing and repeating it takes.

        Args:
            call: what to request.
            tokens: where the bearer comes from; None sends none.
            options: how to make it.
            check_for_errors: False returns the body of a refusal instead of raising.
            decode: reads the body of a success; None decodes it by its media type.

        Returns:
            the value; of an OAuth endpoint ``Hidden``.

        Raises:
            StravaError: see the tree in ``errors``.
        """
        if tokens is not None:
            await tokens.prepare(call.endpoint.scope)
        report = self._reports.of(call, tokens, options.priority)
        permits = self._permits(call, options, report)
        give_up_at = math.inf if options.within is None else self._clock.monotonic() + options.within
        attempt, renewed = 1, False
        while True:
            ended = await self._attempt(call, tokens, options, await permits.acquire(), decode, report)
            if ended.error is None:
                return ended.value
            from strava_async.request.retry import Attempt, Step, decide  # not above: most calls succeed

            state = Attempt(attempt, call.idempotent, call.replayable, tokens is not None and not renewed)
            decision = decide(state, ended.error, options.retry, self._random())
            match decision.step:
                case Step.WAIT:
                    left = give_up_at - self._clock.monotonic() - decision.seconds
                    if left < LEAST_ATTEMPT_SECONDS:
                        return _give_up(ended.error, ended.reply, permits.attempts, check_for_errors)
                    attempt, options = attempt + 1, _bounded(options, left)
                    report.retry(ended.error, decision.seconds)
                    await self._sleep(decision.seconds, report)
                case Step.REFRESH:
                    renewed = True
                    if not await _renewed(tokens, ended):
                        return _give_up(ended.error, ended.reply, permits.attempts, check_for_errors)
                    report.retry(ended.error, 0.0)
                case Step.RAISE:
                    return _give_up(ended.error, ended.reply, permits.attempts, check_for_errors)
                case _:
                    assert_never(decision.step)

    async def _sleep(self, seconds: float, report: Report) -> None:
        if seconds:
            with cancellable(), report.waiting("retry"):
                await self._clock.sleep(seconds)

    def _permits(self, call: Call, options: Options, report: Report) -> PermitBudget:
        limiter = self._limiter if call.quota_class else self._unmetered
        return PermitBudget(limiter, self._clock, call.quota_class, options.priority, options.max_wait, report)

    async def _attempt(
        self,
        call: Call,
        tokens: TokenSource | None,
        options: Options,
        permit: Permit,
        decode: Decode | None,
        report: Report,
    ) -> _Ended:
        with permit:
            try:
                bearer = None if tokens is None else _hidden(await tokens.bearer())
            except BaseException:
                permit.release()
                raise
            with report.sending() as sending:
                ended = await self._send(call, bearer, options, permit, decode, sending)
                sending.failed(ended.error)
                return ended

    async def _send(
        self,
        call: Call,
        bearer: Hidden[str] | None,
        options: Options,
        permit: Permit,
        decode: Decode | None,
        sending: Sending,
    ) -> _Ended:
        # A person may be waiting for what the tokens are needed for.
        urgent = options.priority is Priority.INTERACTIVE or call.quota_class is None
        outgoing = OutgoingRequest(call, bearer, options.timeout, options.total, urgent=urgent)
        try:
            reply = await self._sender.send(outgoing)
        except InputError as error:
            if error.sent == "never":
                permit.release()  # the client is closed, or the environment is invalid
            raise
        except TransportError as error:
            if error.sent == "never":
                permit.release()
            return _Ended(None, error, None, bearer)
        permit.settle(reply.status_code, reply.headers)
        sending.replied(reply)
        if not reply.content_encoding and len(reply.body) < LARGE_BODY_BYTES:
            return self._ended(call, reply, bearer, decode)
        from strava_async.request.large_bodies import decode_in_turn  # not above: it loads a part of anyio

        return await decode_in_turn(reply, lambda plain: self._ended(call, plain, bearer, decode))

    def _ended(self, call: Call, plain: Reply, bearer: Hidden[str] | None, decode: Decode | None) -> _Ended:
        try:
            return _Ended(_value(call, plain, bearer, decode), None, None, bearer)
        except StravaError as error:
            if isinstance(error, FaultError):
                self._explain(error, call, plain)
            return _Ended(None, error, plain, bearer)

    def _explain(self, error: FaultError, call: Call, reply: Reply) -> None:
        error.retry_after = reply.retry_after(self._clock.time())
        if isinstance(error, RateLimitedError) and call.quota_class is not None:
            blocked = self._limiter.blocked(call.quota_class)
            if blocked is not None:
                error.window, error.resume_at = blocked.window, blocked.resume_at


def _bounded(options: Options, seconds: float) -> Options:
    """Return the options of an attempt that has so many seconds at the most."""
    if options.within is None:
        return options
    return options._replace(total=seconds if options.total is None else min(seconds, options.total))


def _hidden(bearer: str | None) -> Hidden[str] | None:
    return None if bearer is None else Hidden(bearer)


def _value(call: Call, reply: Reply, bearer: Hidden[str] | None, decode: Decode | None) -> Any:
    if call.quota_class is None:
        return Hidden(read(call, reply))  # it may be tokens
    return read(call, reply, bearer) if decode is None else read_json(call, reply, bearer, decode)


async def _renewed(tokens: TokenSource | None, ended: _Ended) -> bool:
    if tokens is None:
        return False
    try:
        return await tokens.renew(None if ended.bearer is None else ended.bearer.reveal())
    except StravaError as error:
        if error.__cause__ is None:
            error.__cause__ = ended.error
        raise


def _give_up(error: StravaError, reply: Reply | None, attempts: int, check_for_errors: bool) -> Any:
    if reply is not None and not check_for_errors and not reply.is_too_large:
        return read_leniently(reply)
    if isinstance(error, FaultError | TransportError):
        error.attempts = attempts
    raise error
