"""``client.routes``: the routes that the athlete has planned."""

from __future__ import annotations

from strava_async.models.route import Route
from strava_async.paging.pages import PageWalk
from strava_async.paging.walk import Pages, Params
from strava_async.request.endpoints import Endpoint, Endpoints
from strava_async.resources._listing import Listing
from strava_async.resources._resource import Resource, described, id_of

# Inside of the class, the method `list` hides the type of that name.
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
            athlete_id: None means the token's athlete. Where the id is not known, the first call costs one request
                more.
            per_page: routes per request, up to 200.
            limit: routes wanted at most; None means all.
            prefetch: how many further pages to request at the same time.

        Raises:
            InputError: at once, for a number that is invalid.
        """

        async def fetch(numbers: Params) -> _Routes:
            whose = await self._own_id() if athlete_id is None else athlete_id
            return await self._get_list(Route, Endpoints.ROUTES_LIST, id=whose, **numbers)

        return Listing(
            lambda: Pages(PageWalk(per_page, limit, prefetch, id_of), fetch, Endpoints.ROUTES_LIST.path),
            described(Route, Endpoints.ROUTES_LIST, id=athlete_id),
        )

    async def get(self, route_id: int) -> Route:
        """Return a route (``getRouteById``).

        Raises:
            NotFoundError: it does not exist, or the token may not see it.
        """
        return await self._get(Route, Endpoints.ROUTES_GET, id=route_id)

    async def export_gpx(self, route_id: int) -> str:
        """Return a route as GPX (``getRouteAsGPX``): an XML document.

        Raises:
            NotFoundError: it does not exist, or the token may not see it.
        """
        return await self._document(Endpoints.ROUTES_EXPORT_GPX, route_id)

    async def export_tcx(self, route_id: int) -> str:
        """Return a route as TCX (``getRouteAsTCX``): an XML document.

        Raises:
            NotFoundError: it does not exist, or the token may not see it.
        """
        return await self._document(Endpoints.ROUTES_EXPORT_TCX, route_id)

    async def _document(self, endpoint: Endpoint, route_id: int) -> str:
        document: str = await self._view.api.request(endpoint.method, endpoint.path, {"id": route_id}, decode=_xml)
        return document


def _xml(body: bytes) -> str:
    """Return a document as text; ValueError if it is not XML, such as an HTML page."""
    text = body.decode()
    if not text.lstrip("\ufeff \t\r\n").startswith("<") or "<html" in text[:1_000].lower():
        raise ValueError("not XML")
    return text
