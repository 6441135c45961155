"""Decides which requests to the callback of a subscription are accepted as events from Strava: ``Guard``."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

import anyio
from starlette.requests import ClientDisconnect, Request

from strava_async._hidden import Hidden
from strava_async.clock import Clock
from strava_async.errors import InputError
from strava_async.fastapi.problems import Problem
from strava_async.oauth.credentials import check_text
from strava_async.webhooks.arguments import check_positive
from strava_async.webhooks.events import WebhookEvent, check_signature, check_signing_secret, parse_event

Signature = Literal["auto", "require", "off"]

MAX_BODY_BYTES = 8 * 1024
# Anybody can begin a request and not finish it, and a server that shuts down waits for it.
BODY_SECONDS = 5.0

TOO_LARGE = Problem(413, "Too large")
TOO_SLOW = Problem(408, "Too slow", "Send it again.")
_GONE = Problem(400, "Not whole")
_OTHER_SUBSCRIPTION = Problem(403, "Another subscription")


class RefusedError(Exception):
    """A request that is not accepted as an event: how it is answered, and why."""

    def __init__(self, problem: Problem, why: str) -> None:
        super().__init__(why)
        self.problem = problem
        self.why = why


@dataclass(frozen=True, slots=True, repr=False)
class Guard:
    """Decides which requests are accepted as events; see ``webhook_router`` for the attributes."""

    verify_token: Hidden[str]
    subscription_id: int | None
    signature: Signature
    signing_secret: Hidden[str | bytes] | None
    max_body_bytes: int
    clock: Clock
    body_seconds: float = BODY_SECONDS

    def __post_init__(self) -> None:
        check_text(self.verify_token, "the verify_token")
        if self.signature not in ("auto", "require", "off"):
            raise InputError(f"signature is 'auto', 'require' or 'off', not {self.signature!r}")
        if self.signature == "require" and not self.signing_secret:
            raise InputError("a required signature needs a signing_secret")
        if self.signing_secret is not None:
            check_signing_secret(self.signing_secret)
        check_positive("max_body_bytes", self.max_body_bytes)
        if self.subscription_id is not None:
            check_positive("subscription_id (make an int of what the environment says)", self.subscription_id)

    async def event(self, request: Request) -> WebhookEvent:
        """Return the event in a POST.

        Raises:
            RefusedError, UnverifiedWebhookError, InputError: it is not accepted.
        """
        body = await self._body(request)
        header = request.headers.get("x-strava-signature")
        if self.signing_secret and self.signature != "off":
            check_signature(header, body, self.signing_secret, now=self.clock.time())
        event = parse_event(body)
        if self.subscription_id not in (None, event.subscription_id):
            raise RefusedError(_OTHER_SUBSCRIPTION, f"its subscription is not {self.subscription_id}")
        return event

    async def _body(self, request: Request) -> bytes:
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and (len(announced) > 18 or int(announced) > self.max_body_bytes):
            raise self._too_large()
        # In real time: the network does not follow the application's clock.
        with anyio.move_on_after(self.body_seconds):
            return await self._whole(request)
        raise RefusedError(TOO_SLOW, f"its body was not complete after {self.body_seconds:g} s")

    async def _whole(self, request: Request) -> bytes:
        body = bytearray()
        try:
            async with aclosing(request.stream()) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > self.max_body_bytes:
                        raise self._too_large()
        except ClientDisconnect:
            raise RefusedError(_GONE, "its sender disconnected") from None
        return bytes(body)

    def _too_large(self) -> RefusedError:
        return RefusedError(TOO_LARGE, f"it is larger than {self.max_body_bytes} bytes")
