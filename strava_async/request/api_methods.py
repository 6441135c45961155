"""The methods of ``ApiV3`` that make calls: any path of the API, and what its keyword arguments mean."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from strava_async.errors import InputError
from strava_async.request.call import api_call
from strava_async.request.core import View
from strava_async.request.endpoints import Method
from strava_async.request.parameters import hide_secrets
from strava_async.request.results import Decode

if TYPE_CHECKING:
    from strava_async.paging.pages import PageWalk


class ApiMethods(View):
    """What ``ApiV3`` can call."""

    async def get(self, url: str, check_for_errors: bool = True, **kwargs: Any) -> Any:
        """Make a GET request.

        Waits for quota, for a renewal of the token, and between retries. Costs one request of the read class, and one
        more per retry.

        Args:
            url: a path below the API such as ``/activities/{id}``, or an absolute URL of its origin.
            check_for_errors: False returns the body of an error response instead of raising.
            **kwargs: fill the names in the path; the rest goes to the query. None is left out.

        Returns:
            JSON decoded; ``{}`` for an empty success; ``str`` for text and XML; ``bytes`` for anything else.

        Raises:
            InputError: the path or a value cannot be sent; nothing was.
            QuotaExceededError: not within ``max_wait``; nothing was sent.
            TransportError, FaultError, OAuthError, DecodeError: see ``strava_async.errors``. A response of more than
                64 MB, before or after decompression, is a DecodeError, whatever its status.
        """
        return await self._call("GET", url, kwargs, check_for_errors)

    async def post(self, url: str, files: Any = None, check_for_errors: bool = True, **kwargs: Any) -> Any:
        """Make a POST request: a form, or with ``files`` a multipart body. Waits, returns and raises as ``get`` does.

        Costs one request: of the upload class for ``/activities`` and ``/uploads``, of the read class otherwise. It is
        not sent again once it may have reached Strava, except after a 401 or 429, by which Strava rejected it.

        Args:
            url: see ``get``.
            files: multipart files, as httpx takes them, of 512 MB at the most each; bytes can be sent again, a stream
                is sent once. What is not in memory is read in a thread.
            check_for_errors: see ``get``.
            **kwargs: fill the names in the path; the rest is the form.
        """
        return await self._call("POST", url, kwargs, check_for_errors, files=files)

    async def put(self, url: str, check_for_errors: bool = True, body: Any = None, **kwargs: Any) -> Any:
        """Make a PUT request. Costs one request of the read class; waits, returns and raises as ``get`` does.

        Args:
            url: see ``get``.
            check_for_errors: see ``get``.
            body: what to send as JSON; None sends no body.
            **kwargs: fill the names in the path; the rest goes to the query.
        """
        return await self._call("PUT", url, kwargs, check_for_errors, body=body)

    async def delete(self, url: str, check_for_errors: bool = True, **kwargs: Any) -> Any:
        """Make a DELETE request. Costs one request of the read class; arguments, waits and errors as in ``get``."""
        return await self._call("DELETE", url, kwargs, check_for_errors)

    async def request(
        self,
        method: Method,
        url: str,
        params: Mapping[str, Any] | None = None,
        *,
        files: Any = None,
        body: Any = None,
        form: Mapping[str, Any] | None = None,
        decode: Callable[[bytes], Any] | None = None,
        decode_sent: Callable[[bytes, bytes, str], Any] | None = None,
    ) -> Any:
        """Make any of the four calls above, with a decoder of your own. Costs, waits and raises as they do.

        Args:
            method: ``GET``, ``POST``, ``PUT`` or ``DELETE``.
            url: see ``get``.
            params: fill the names in the path; the rest goes to the query or the form. None is left out.
            files: see ``post``.
            body: see ``put``.
            form: the fields of a form in place of ``body``, with PUT.
            decode: makes the result out of the decompressed body of a success; a ValueError that it raises becomes a
                DecodeError. Not called for an error response. None decodes as ``get`` does.
            decode_sent: in place of ``decode``, for who keeps bodies compressed: gets the body decompressed, the body
                as it was sent, and the Content-Encoding of the latter, empty if it was not compressed. What a
                mock transport of ``http_client`` has decompressed counts as sent like that.

        Raises:
            InputError: both decoders are given; see ``get`` for what else is raised.
        """
        if decode is not None and decode_sent is not None:
            raise InputError("request takes either decode or decode_sent")
        params = dict(params or {})
        hide_secrets(params)
        call = api_call(method, url, params, api_url=self._core.api_url, files=files, body=body, form=form)
        read = _decoder(decode, decode_sent)
        return await self._core.exchange.run(call, self._tokens, self._options, decode=read)

    def paginate(
        self, url: str, *, per_page: int = 200, limit: int | None = None, prefetch: int = 0, **kwargs: Any
    ) -> AsyncGenerator[Any, None]:
        """Iterate over a list that comes in numbered pages.

        Each page costs one request of the read class, the empty one at the end included. Waits as ``get`` does.

        Args:
            url: see ``get``; the endpoint has to be one that is paged.
            per_page: items to ask for at a time; 200 is Strava's maximum and is not exceeded.
            limit: items wanted at the most; None means all. It ends there without a further request.
            prefetch: how many more pages to request at the same time. Up to that many may turn out to be needless.
            **kwargs: as in ``get``.

        Returns:
            an async iterator of items, in Strava's order, up to the first empty page. For ``/athlete/activities`` give
            a ``before``, so that an activity that arrives meanwhile does not push others to the next page.

        Raises:
            InputError: at once, for an invalid number.
            StravaError: while iterating, as ``get`` does; DecodeError too where a page is no list.
        """
        if "page" in kwargs:
            raise InputError("paginate counts the pages itself")
        from strava_async.paging.pages import (
            PageWalk,
        )  # not above: an import takes time, and many programs read no lists
        from strava_async.paging.walk import Items

        return Items(self._items(url, PageWalk(per_page, limit, prefetch), kwargs), url)

    async def _call(
        self, method: Method, url: str, params: dict[str, Any], check: bool, *, files: Any = None, body: Any = None
    ) -> Any:
        hide_secrets(params)  # of the callers' frames too
        call = api_call(method, url, params, api_url=self._core.api_url, files=files, body=body)
        return await self._core.exchange.run(call, self._tokens, self._options, check_for_errors=check)

    async def _items(self, url: str, walk: PageWalk, params: dict[str, Any]) -> AsyncGenerator[Any, None]:
        from strava_async.paging.walk import Pages

        async for page in Pages(walk, lambda numbers: self.get(url, **params, **numbers), url):
            for item in page:
                yield item


def _decoder(
    decode: Callable[[bytes], Any] | None, decode_sent: Callable[[bytes, bytes, str], Any] | None
) -> Decode | None:
    if decode is not None:
        return lambda reply: decode(reply.body)
    if decode_sent is not None:
        return lambda reply: decode_sent(reply.body, reply.sent.body, reply.sent.content_encoding)
    return None
