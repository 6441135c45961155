"""What Strava sends, as typed objects."""

from strava_async._extras import extra

with extra("models", __name__, "pydantic"):
    from strava_async.models._fields import LatLng
    from strava_async.models._model import StravaModel
    from strava_async.models._reading import InvalidValue, OnInvalid, read_many, read_one
    from strava_async.models.activity import (
        DetailedActivity,
        MetaActivity,
        SimilarActivities,
        SpeedTrend,
        StatVisibility,
        SummaryActivity,
    )
    from strava_async.models.athlete import DetailedAthlete, MetaAthlete, SummaryAthlete
    from strava_async.models.club import DetailedClub, GroupEvent, SummaryClub
    from strava_async.models.comment import Comment
    from strava_async.models.gear import DetailedGear, SummaryGear
    from strava_async.models.lap import Lap
    from strava_async.models.map import PolylineMap
    from strava_async.models.photo import Photo, PhotosSummary, PrimaryPhoto
    from strava_async.models.route import Route, Waypoint
    from strava_async.models.segment import (
        AthleteSegmentStats,
        DetailedSegment,
        ExplorerSegment,
        ExplorerSegments,
        LocalLegend,
        PrEffort,
        SummarySegment,
        Xoms,
    )
    from strava_async.models.segment_effort import Achievement, DetailedSegmentEffort, SummarySegmentEffort
    from strava_async.models.split import Split
    from strava_async.models.sports import (
        ActivityType,
        ClubMembership,
        MeasurementPreference,
        SportType,
        Visibility,
        ZoneType,
    )
    from strava_async.models.stats import ActivityStats, ActivityTotal
    from strava_async.models.stream import Sample, Stream
    from strava_async.models.stream_set import StreamSet
    from strava_async.models.stream_type import StreamType
    from strava_async.models.strength import StrengthSet
    from strava_async.models.upload import Upload, UploadState
    from strava_async.models.zones import (
        ActivityZone,
        HeartRateZones,
        PowerZones,
        TimedZoneRange,
        ZoneRange,
        Zones,
    )

__all__ = [
    "Achievement",
    "ActivityStats",
    "ActivityTotal",
    "ActivityType",
    "ActivityZone",
    "AthleteSegmentStats",
    "ClubMembership",
    "Comment",
    "DetailedActivity",
    "DetailedAthlete",
    "DetailedClub",
    "DetailedGear",
    "DetailedSegment",
    "DetailedSegmentEffort",
    "ExplorerSegment",
    "ExplorerSegments",
    "GroupEvent",
    "HeartRateZones",
    "InvalidValue",
    "Lap",
    "LatLng",
    "LocalLegend",
    "MeasurementPreference",
    "MetaActivity",
    "MetaAthlete",
    "OnInvalid",
    "Photo",
    "PhotosSummary",
    "PolylineMap",
    "PowerZones",
    "PrEffort",
    "PrimaryPhoto",
    "Route",
    "Sample",
    "SimilarActivities",
    "SpeedTrend",
    "Split",
    "SportType",
    "StatVisibility",
    "StravaModel",
    "Stream",
    "StreamSet",
    "StreamType",
    "StrengthSet",
    "SummaryActivity",
    "SummaryAthlete",
    "SummaryClub",
    "SummaryGear",
    "SummarySegment",
    "SummarySegmentEffort",
    "TimedZoneRange",
    "Upload",
    "UploadState",
    "Visibility",
    "Waypoint",
    "Xoms",
    "ZoneRange",
    "ZoneType",
    "Zones",
    "read_many",
    "read_one",
]
