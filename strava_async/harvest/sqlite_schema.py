"""The tables of a harvest's file.

``activities`` has the list rows: some fields as columns, all of them in ``body`` as JSON. ``resources`` has what else
came: ``body`` is the JSON as it came, in ``coding``; the largest column is the last, so that the others are read
without it. ``checks`` are the activities that Strava is to be asked about, ``runs`` the last runs. ``meta`` says who
harvests, and has the settings.
"""

from __future__ import annotations

from strava_async.stores.sqlite_file import Schema

# No id is the key of a table's own tree: its inner pages keep the keys of rows that were deleted.
#
# What is committed survives the end of the process. What a power failure may cost of it is fetched again: each commit
# is whole, and they are lost from the last one on.
SCHEMA = Schema(
    application_id=0x53747268,  # "Strh"
    version=1,
    is_durable=False,
    tables={
        "athletes": "create table athletes (athlete_id integer not null unique, state text not null, "
        "is_list_due integer not null default 0, events_on integer not null default 0, "
        "events integer not null default 0)",
        "activities": "create table activities (id integer not null unique, athlete_id integer not null, "
        "start_date text not null, start_date_local text, sport_type text, name text, distance real, "
        "moving_time integer, elapsed_time integer, total_elevation_gain real, gear_id text, upload_id integer, "
        "start real not null, has_distance integer not null, stamps text not null, empty text not null, "
        "listed_at real not null, seen_in integer not null, body text not null); "
        "create index activities_newest on activities (athlete_id, start, id); "
        "create index activities_listed on activities (listed_at)",
        "resources": "create table resources (athlete_id integer not null, kind text not null, id text not null, "
        "activity_id integer, state text not null, status integer not null, stamp text not null, "
        "fetched_at real not null, retry_at real, tries integer not null, reason text not null, coding text not null, "
        "body blob, primary key (athlete_id, kind, id)); "
        "create index resources_activity on resources (activity_id) where activity_id is not null; "
        "create index resources_fetched on resources (fetched_at)",
        "checks": "create table checks (athlete_id integer not null, activity_id integer not null, "
        "primary key (athlete_id, activity_id))",
        "runs": "create table runs (number integer primary key, began_at real not null, ended_at real, "
        "requests integer not null, outcome text not null)",
        "meta": "create table meta (name text primary key, value text not null)",
    },
)
