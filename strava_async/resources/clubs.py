"""``client.clubs``: the athlete's clubs."""

from __future__ import annotations

from strava_async.models.club import DetailedClub, GroupEvent, SummaryClub
from strava_async.request.endpoints import Endpoints
from strava_async.resources._listing import Listing
from strava_async.resources._resource import Resource

# Inside of the class, the method `list` hides the type of that name.
_GroupEvents = list[GroupEvent]


class ClubsResource(Resource):
    """Clubs. Their members, admins and activities have not been open to applications since September 2026.

    Source:
        https://developers.strava.com/docs/reference/#api-Clubs
    """

    def list(self, *, per_page: int = 200, limit: int | None = None, prefetch: int = 0) -> Listing[SummaryClub]:
        """List the clubs of which the athlete is a member (``getLoggedInAthleteClubs``).

        Args:
            per_page: clubs per request, up to 200.
            limit: clubs wanted at most; None means all.
            prefetch: how many further pages to request at the same time.

        Raises:
            InputError: at once, for a number that is invalid.
        """
        return self._numbered(SummaryClub, Endpoints.CLUBS_LIST, per_page, limit, prefetch)

    async def get(self, club_id: int) -> DetailedClub:
        """Return a club (``getClubById``).

        Raises:
            NotFoundError: it does not exist, or the athlete may not see it.
        """
        return await self._get(DetailedClub, Endpoints.CLUBS_GET, id=club_id)

    async def group_events(self, club_id: int) -> _GroupEvents:
        """Return a club's events, all at once; there can be hundreds.

        Not in Strava's reference; seen to answer in October 2025.

        Raises:
            NotFoundError: there is no such club, or the athlete may not see it.
        """
        return await self._get_list(GroupEvent, Endpoints.CLUBS_GROUP_EVENTS, id=club_id)
