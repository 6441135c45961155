"""``client.routes``: the routes that the athlete has planned."""

from __future__ import annotations

from strava_async.models.route import Route
from strava_async.paging.pages import PageWalk
from strava_async.paging.walk import Pages, Params
from strava_async.resources._listing import Listing
from strava_async.resources._resource import Resource, described, id_of

_OF_AN_ATHLETE = "/athletes/{id}/routes"
# The method `list` hides the type of that name inside of its class.
_Routes = list[Route]


class RoutesResource(Resource):
    """Routes. Private ones need ``read_all``.

    Source:
        https://developers.strava.com/docs/reference/#api-Routes
    """

    def list(
        self, athlete_id: int | None = None, *, per_page: int = 200, limit: int | None = None, prefetch: int = 0
    ) -> Listing[Route]:
        """List the athlete's routes (``getRoutesByAthleteId``).

        Args:
            athlete_id: None means the token's athlete. Where the id is not known, it is asked for first: one more
                request, once.
            per_page: routes to ask for at a time, up to 200.
            limit: routes wanted at the most; None means all.
            prefetch: how many more pages to ask for at the same time.

        Raises:
            InputError: at once, for a number that makes no sense.
        """

        async def fetch(numbers: Params) -> _Routes:
            whose = await self._own_id() if athlete_id is None else athlete_id
            return await self._get_list(Route, _OF_AN_ATHLETE, id=whose, **numbers)

        return Listing(
            lambda: Pages(PageWalk(per_page, limit, prefetch, id_of), fetch, _OF_AN_ATHLETE),
            described(Route, _OF_AN_ATHLETE, id=athlete_id),
        )

    async def get(self, route_id: int) -> Route:
        """Return a route (``getRouteById``).

        Raises:
            NotFoundError: there is none, or the token may not see it.
        """
        return await self._get(Route, "/routes/{id}", id=route_id)

    async def export_gpx(self, route_id: int) -> str:
        """Return a route as GPX (``getRouteAsGPX``): an XML document.

        Raises:
            NotFoundError: there is none, or the token may not see it.
        """
        return await self._document("/routes/{id}/export_gpx", route_id)

    async def export_tcx(self, route_id: int) -> str:
        """Return a route as TCX (``getRouteAsTCX``): an XML document.

        Raises:
            NotFoundError: there is none, or the token may not see it.
        """
        return await self._document("/routes/{id}/export_tcx", route_id)

    async def _document(self, url: str, route_id: int) -> str:
        document: str = await self._view.api.request("GET", url, {"id": route_id}, decode=_xml)
        return document


def _xml(body: bytes) -> str:
    """Return a document as text; ValueError for what is none, such as a page for people."""
    text = body.decode()
    if not text.lstrip("\ufeff \t\r\n").startswith("<") or "<html" in text[:1_000].lower():
        raise ValueError("no XML")
    return text
