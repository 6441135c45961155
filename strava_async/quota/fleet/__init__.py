"""One quota for many processes. Pure: no I/O, no clock.

Where they meet, ``sync`` takes in what a process reports (``messages``) into what is known (``state``): ``learn`` from
Strava's numbers, then ``grants``, with the ``line`` of those who wait, ``shares`` and ``probes``. ``codec`` makes text
of it.

Each process has a ``lease`` and a ``ledger``, with ``books``, ``notes`` of its answers, what is ``unconfirmed``, and
what it has ``told``.
"""
