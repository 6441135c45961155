"""Switches for behaviour that Strava does not document, or that varies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Quirks:
    """Behaviour that a client must not depend on. May be changed at any time.

    Attributes:
        rotate_refresh_tokens: a refresh that issues an access token issues a new refresh token too, and the old one is
            invalid at once. False: the refresh token stays.
        end_old_access_tokens: issuing an access token invalidates the previous one. False: that one stays valid until
            it expires. Which of both Strava does is not known.
        scope_in_token_answer: the token answer has the field ``scope``, separated by spaces (so since 2026-04-23).
        streams_send_rate_headers: answers with the streams of an activity carry the rate-limit fields. Recordings
            show none; that they are counted is an assumption.
        clamp_per_page: ``per_page`` above 200 is taken as 200. False: it is answered with 400. Which is not known.
        html_in_upload_errors: the error of a duplicate upload links to the activity. False: the earlier plain text.
        subscribed: athletes are Strava's subscribers. False: what only these may see is answered with 402.
        streams_need_distance: the streams of an activity without distance are a 404 unless ``series_type=time`` is
            sent (reported in 2024-10). False: they are answered.
        explore_open: the application is of the Extended Access tier, the only one that may call ``/segments/explore``
            since 2026-09-01. False: it is answered with 401 like other closed endpoints; what Strava
            answers is not known.
        token_in_query: an access token may be sent in the query as ``access_token``, as long as Strava accepts that:
            until 2027-06-01 on the emulator's clock. False: such a request counts as one without a token.
        code_lifetime_seconds: how long an authorization code is valid; Strava says "short-lived" only.
    """

    rotate_refresh_tokens: bool = True
    end_old_access_tokens: bool = True
    scope_in_token_answer: bool = True
    streams_send_rate_headers: bool = False
    clamp_per_page: bool = False
    html_in_upload_errors: bool = True
    subscribed: bool = True
    streams_need_distance: bool = True
    explore_open: bool = True
    token_in_query: bool = False
    code_lifetime_seconds: float = 600.0
