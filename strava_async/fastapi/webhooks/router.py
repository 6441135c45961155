"""The callback of a webhook subscription as a router: ``webhook_router``.

Rules:

- Strava gets its answer before anything is done about an event: 200 when it is stored, 503 when there is no room or
  the store is away, so that it is sent again.
- Anybody can send an event, so each is only a hint. It costs nothing for an athlete who is not connected, and is
  bounded for one who is (``webhooks.owners``). A deauthorization counts when Strava confirms it.
- A body has to arrive within five seconds: a server shuts down only when it has answered its requests.
- An answer repeats nothing of the request but the challenge of a handshake whose token is right.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from strava_async._hidden import Hidden
from strava_async.errors import InputError, UnverifiedWebhookError
from strava_async.fastapi.problems import Problem, problem_of
from strava_async.fastapi.webhooks.guard import MAX_BODY_BYTES, TOO_LARGE, TOO_SLOW, Guard, RefusedError, Signature
from strava_async.webhooks.arguments import check_positive
from strava_async.webhooks.backlog import Backlog
from strava_async.webhooks.base import EventStore, StoreStats, check_store
from strava_async.webhooks.counts import Offer, WebhookCounts
from strava_async.webhooks.event_store_memory import MemoryEventStore
from strava_async.webhooks.events import WebhookEvent, challenge_of
from strava_async.webhooks.handler import ClaimFunction, EventHandler, Grants, OnDisconnect, OnEvent, RetryOn
from strava_async.webhooks.handler_calls import HANDLER_SECONDS
from strava_async.webhooks.queue import DRAIN_SECONDS, EventQueue
from strava_async.webhooks.throttled_log import ThrottledLog

RETRY_AFTER_SECONDS = 60
MAX_QUEUE = 10_000

_BUSY = Problem(503, "No room", "Send it again later.", retry_after=RETRY_AFTER_SECONDS)


class WebhookRouter(APIRouter):
    """What ``webhook_router`` returns: a router with GET and POST on one path, and a lifespan for its workers.

    Without FastAPI: ``Starlette(routes=router.routes, lifespan=router.lifespan_context)``.
    """

    def __init__(self, path: str, guard: Guard, queue: EventQueue, handler: EventHandler) -> None:
        if not path.startswith("/"):
            raise InputError('the path of a webhook has to begin with "/"')
        super().__init__(lifespan=self._live)
        self._guard = guard
        self._queue = queue
        self._handler = handler
        self._log = ThrottledLog(guard.clock)
        self.add_route(path, self._answer, methods=["GET", "POST"], name="strava_webhook", include_in_schema=False)

    @property
    def counts(self) -> WebhookCounts:
        """How many requests were received so far, by how they ended; a copy."""
        return replace(self._queue.counts)

    @property
    def oldest_waiting_seconds(self) -> float:
        """For how long an event has waited for a worker, at most; 0 if none waits. Thread-safe."""
        return self._queue.oldest_waiting() or 0.0

    @property
    def stats(self) -> StoreStats | None:
        """What is in ``events``, of all processes, as last seen up to 15 s ago; None if it is not known. Thread-safe.

        Asks no server or file. It is not known while the store is away, nor, but in memory, outside of the lifespan.
        """
        return self._queue.stats()

    @property
    def store_is_away(self) -> bool:
        """Whether ``events`` cannot be used, so that Strava gets 503. Thread-safe."""
        return self._queue.is_away

    @property
    def threads_left_behind(self) -> int:
        """How many threads still run a function that exceeded ``handler_seconds``. Thread-safe."""
        return self._handler.threads_left_behind

    @asynccontextmanager
    async def _live(self, app: Any) -> AsyncGenerator[None]:
        async with self._queue.running():
            yield

    async def _answer(self, request: Request) -> Response:
        try:
            if request.method == "POST":
                return await self._take(await self._guard.event(request))
            challenge = challenge_of(request.query_params, self._guard.verify_token)
            return JSONResponse({"hub.challenge": challenge}, headers={"Cache-Control": "no-store"})
        except RefusedError as refusal:
            problem, why = refusal.problem, refusal.why
            kind = problem.title
        except UnverifiedWebhookError as error:
            problem, why, kind = problem_of(error), str(error), error.reason
        except InputError as error:  # its sentence repeats nothing of what came
            problem = Problem(400, "Not understood", str(error))
            why, kind = str(error), f"{problem.title}: {request.method}"
        self._queue.counts.refused += 1
        self._log.log(logging.WARNING, kind, f"a webhook request was refused: {why}")
        response = problem.response()
        if problem in (TOO_LARGE, TOO_SLOW):
            response.headers["Connection"] = "close"  # the rest of the body must not be read
        return response

    async def _take(self, event: WebhookEvent) -> Response:
        is_rejected = await self._queue.offer(event) is Offer.REJECTED
        return _BUSY.response() if is_rejected else Response()


def webhook_router(
    strava: Grants,
    *,
    verify_token: str,
    on_event: OnEvent,
    on_disconnect: OnDisconnect | None = None,
    claim: ClaimFunction | None = None,
    subscription_id: int | None = None,
    signature: Signature = "auto",
    signing_secret: str | bytes | None = None,
    retry_on: RetryOn = (OSError,),
    path: str = "/webhook",
    workers: int = 16,
    events: EventStore | None = None,
    max_queue: int | None = None,
    handler_seconds: float | None = HANDLER_SECONDS,
    max_body_bytes: int = MAX_BODY_BYTES,
    drain_seconds: float | None = DRAIN_SECONDS,
    backlog: Backlog | None = None,
) -> WebhookRouter:
    """Return a router for the callback of the webhook subscription.

    ::

        background = strava.with_options(max_wait=2, priority=Priority.BACKGROUND)

        async def on_event(event: WebhookEvent) -> None:
            activity = await background.client(event.owner_id).activities.get(event.object_id)

        app.include_router(webhook_router(strava, verify_token=VERIFY_TOKEN, path=SECRET_PATH, on_event=on_event))

    Strava is answered at once, whatever the handlers do. Events wait in ``events``: without it in the memory of this
    process, which is lost with it; in ``SqliteEventStore`` for the processes of one machine, or
    ``strava_async.redis.RedisEventStore`` for those of several. Those of one object are handled one after the other, in
    the order in which they were received, by whichever process; others at the same time, by ``workers``. That is not
    the order of ``event_time``, which Strava does not promise either.

    With ``max_wait=2`` a handler without quota fails with QuotaExceededError, mostly at once, and the event is tried
    again when there is quota. A call that waits for quota would keep a worker from all other events.

    - An event that Strava repeats is handled once by all processes that share ``events``. Without that it is handled
      once by each process, and ``claim`` decides between them.
    - An event of an athlete who is not connected is dropped, and costs no request.
    - 100 events of one athlete may be unfinished; more are answered with 503. Until ``on_event`` has returned for one
      of them, ten a minute have their first attempt. After three that Strava did not find in an hour a 404 is not tried
      again, and after twenty the next waits: see ``webhooks.owners``. That bounds what forged events
      cost. Anybody can also send events about activities that exist; give handlers ``Priority.BACKGROUND``, which
      leaves quota to people who wait, and the callback a ``path`` that nobody can guess.
    - A deauthorization goes to ``on_disconnect`` only, after Strava has confirmed it and the tokens were deleted; it
      waits for no ``on_event``. A false one is logged, and Strava is queried about that athlete once a minute at most.
    - What fails is tried again or given up, as the table in ``webhooks.retry`` says: ``on_event`` should be idempotent.
    - A function that takes longer than ``handler_seconds`` is ended. An async one is cancelled, which counts as a
      TimeoutError. A thread cannot be cancelled: the event has failed, its worker takes the next event, and the thread
      is left behind, with a WARNING, until it returns; no more are left behind than there are ``workers``. An event
      that has waited for a worker for a minute is logged as a WARNING.
    - With ``events``, what was answered with 200 is handled, whatever happens to a process. At shutdown nothing more is
      begun, and what is left waits for another process or the next start. What a killed process was handling is handled
      again after half a minute, so it may be handled twice. While the store is away, or takes longer than a second,
      Strava gets 503; handlers go on, and their results are stored when it is back.
    - Without ``events``, a process that is killed loses what it has not handled, although Strava got its 200: compare
      with the lists of activities from time to time, and the athletes that you know with ``strava.athlete_ids()`` at
      the start. At shutdown what is queued is handled, and what cannot be is lost, and logged, unless there is a
      ``backlog``: that has all unfinished events from the beginning of the shutdown until they are settled, after the
      next start if need be.

    All this is logged to ``strava_async.webhooks``.

    Args:
        strava: the application.
        verify_token: the one that ``strava.webhooks.subscribe`` was called with.
        on_event: receives each event that is not a deauthorization; async, or sync and then in a thread. An async one
            must not block the event loop. ``sys.exit`` ends the service in an async one; in a thread it is an error.
        on_disconnect: receives the id of an athlete who removed the application at Strava; sync or async. It is
            called again until it works.
        claim: called once for each event, by a worker; returns whether this process is to handle it; sync or async.
            For services of several processes without ``events``: insert ``event.key`` where it is unique, and return
            whether that worked, in one transaction. What one process has claimed no other handles, even if that process
            is killed; an event that it had in the backlog is not claimed again.
        subscription_id: whose events are accepted; None accepts all. ``subscribe`` returns it.
        signature: whether an event needs a valid ``X-Strava-Signature``: with ``auto`` if there is a
            ``signing_secret``; with ``require`` always, so that a missing secret is an error here; with ``off`` never.
            Strava documents no signature: see ``check_signature``.
        signing_secret: the key of the signature.
        retry_on: the errors of ``on_event`` that are temporary, such as those of a network or a database, beside those
            of the table. TimeoutError is an OSError.
        path: of both routes, with "/" in front. One that nobody can guess keeps strangers out; access logs show it.
        workers: how many events are handled at the same time.
        events: where events wait: ``SqliteEventStore("events.sqlite")``. A store decides by itself which process
            handles an event and how many may wait, and keeps what is unfinished: it goes with neither ``claim``,
            ``backlog`` nor ``max_queue``.
        max_queue: how many may be unfinished in memory; more are answered with 503. None means 10,000.
        handler_seconds: how long ``on_event``, ``on_disconnect`` and ``claim`` may take, each time; None means as long
            as they take.
        max_body_bytes: how large an event may be.
        drain_seconds: how long handling events may take at shutdown; what is left is cancelled. Before that the
            server needs up to five seconds for requests in progress, after it the backlog up to four: the grace period
            of the supervisor has to cover all three. None means as long as it takes.
        backlog: deprecated: give ``events``, which loses nothing where a process is killed either, and takes over the
            file of a ``SqliteBacklog``. Keeps what is not finished at shutdown until the next start. All processes of
            the service share one; the first that starts takes what nobody holds. A backlog that cannot be read at the
            start is logged as an error, and read again at the next start.

    Raises:
        InputError: an argument is invalid.

    Source:
        https://developers.strava.com/docs/webhooks/
    """
    token, key = Hidden(verify_token), None if signing_secret is None else Hidden(signing_secret)
    del verify_token, signing_secret
    store = _store_of(strava, events, claim=claim, backlog=backlog, max_queue=max_queue)
    handler = EventHandler(
        strava,
        bounds=store,
        on_event=on_event,
        on_disconnect=on_disconnect,
        claim=claim,
        retry_on=retry_on,
        handler_seconds=handler_seconds,
        workers=workers,
    )
    queue = EventQueue(
        handler.attempt,
        store,
        clock=strava.clock,
        workers=workers,
        drain_seconds=drain_seconds,
        backlog=backlog,
    )
    guard = Guard(token, subscription_id, signature, key, max_body_bytes, strava.clock)
    return WebhookRouter(path, guard, queue, handler)


def _store_of(
    strava: Grants,
    events: EventStore | None,
    *,
    claim: ClaimFunction | None,
    backlog: Backlog | None,
    max_queue: int | None,
) -> EventStore:
    """Return the store of a router. Raises InputError for arguments that exclude each other."""
    if events is None:
        size = MAX_QUEUE if max_queue is None else max_queue
        check_positive("max_queue", size)
        if backlog is not None:
            text = "backlog is deprecated: give events=SqliteEventStore(path), which takes over a SqliteBacklog's file"
            warnings.warn(text, DeprecationWarning, stacklevel=3)
        return MemoryEventStore(strava.clock, max_unfinished=size)
    check_store(events)
    if claim is not None:
        raise InputError("events decides by itself which process handles an event: leave out claim")
    if backlog is not None:
        raise InputError("events keeps what is unfinished by itself: leave out backlog")
    if max_queue is not None:
        raise InputError("events has a bound of its own: leave out max_queue, and give max_unfinished to the store")
    return events
