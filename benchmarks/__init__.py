"""How fast the library is: ``python -m benchmarks`` (under a minute) or ``python -m benchmarks --full``.

Everything runs over loopback against a small server of canned bytes; ``docs/performance.md`` says what the figures
mean. The command itself needs the standard library alone: it makes an environment for each kind of client, once, in
``benchmarks/.env``.

==================  ====================================================================
``environments``    the virtual environments
``bodies``          the server's bodies: an invented athlete's data
``server``          the server, a separate process
``clients``         the clients that are compared
``worker``          a process that measures one client, with jobs from its standard input
``sequence``        the same for stravalib, which is synchronous
``processes``       starts those processes and sends them jobs
``request_cost``    T1, T2, T3
``many_requests``   T4, T5, T6, T7
``start_cost``      T9, T10
``typed``           T8, with ``typed_ours`` and ``typed_theirs``, one for each environment
``limiter``         T11
``fleet``           T16 to T21, only if asked for: processes that share a quota, with ``fleet_figures``,
                    ``fleet_processes``, ``fleet_worker``, ``fleet_strava``, ``fleet_redis`` and ``fleet_clock``
``service``         ``python -m benchmarks.service``, a separate command: the example service under load, with
                    ``service_app``, ``service_strava``, ``service_users``, ``service_probe``, ``service_figures``
                    and ``service_jobs``
``webhook_burst``   ``python -m benchmarks.webhook_burst``, another: a thousand webhook events at once, and the
                    stores of events (``webhook_stores``), with ``webhook_service`` and ``webhook_sender``
``harvest``         ``python -m benchmarks.harvest``, another: what a harvest costs, H1 to H8, with ``harvest_strava``,
                    ``harvest_worker`` and ``harvest_clock``
``mutants``         ``python -m benchmarks.mutants``: how many small faults, made by ``mutations``, the tests catch
``sizes``           ``python -m benchmarks.sizes``: the package's long functions and modules
``timing``          how long something takes
``table``           the table that is printed
==================  ====================================================================
"""
