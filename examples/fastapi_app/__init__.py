"""Tally: a web service on ``strava_async.fastapi``, small enough to read in one sitting.

Athletes connect with Strava and see their activities, the tracks of these, and twelve weeks at a glance. What they
record appears by webhook, without a reload. Any number of worker processes share four SQLite files: tokens, quota,
events and news.

Offline, with Strava's emulator in the same process::

    pip install ".[examples]"
    python -m examples.fastapi_app

Against Strava itself::

    export STRAVA_CLIENT_ID=... STRAVA_CLIENT_SECRET=...
    python -m examples.fastapi_app

Events need an address that Strava can reach, and one command while the service runs::

    export PUBLIC_URL=https://tally.example STRAVA_VERIFY_TOKEN=...        # the latter is any string
    export STRAVA_WEBHOOK_PATH=/...                                # must be as hard to guess as a password
    strava-async webhook subscribe $PUBLIC_URL/strava$STRAVA_WEBHOOK_PATH  # the number: STRAVA_SUBSCRIPTION_ID

In production, behind a proxy that ends TLS::

    uvicorn --factory examples.fastapi_app.app:create_app --workers 4

What to read first: ``app`` assembles the service. ``pages`` and ``stream`` answer browsers, ``events`` handles webhook
events. ``rides`` makes the requests to Strava, ``news`` is shared by the processes, ``live`` sends it to open pages.
``drawing`` is pure.

How Strava's API policy is met: an athlete's data are shown only to that athlete; data are stored for minutes in memory,
and for an hour in the news file; disconnecting deletes all of them.
"""
