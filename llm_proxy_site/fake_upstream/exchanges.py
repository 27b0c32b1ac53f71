"""From a request to its answer: the same steps for every endpoint."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from .answers import Answer
from .authorization import authorize
from .calls import Body, Call, receive_body
from .delivery import deliver, digest_of
from .errors import ApiError
from .faults import UNSCRIPTED, scripted_error, scripted_faults
from .recording import LOG, Record

Endpoint = Callable[[Call], Answer]


def route(endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler that answers with `endpoint`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        record = request.app[LOG].start(request)
        try:
            return await _exchange(endpoint, request, record)
        except asyncio.CancelledError:
            record.end("closed_by_client")
            raise
        finally:
            record.end("finished")

    return handle


async def _exchange(endpoint: Endpoint, request: web.Request, record: Record) -> web.StreamResponse:
    faults, body, refusal = UNSCRIPTED, Body(), None
    try:
        body = await receive_body(request, record)
    except ApiError as error:
        refusal = error
    try:
        faults = scripted_faults(request)
        authorize(request)
        if faults.status:
            raise scripted_error(faults.status, faults.code)
        if refusal:
            raise refusal
        answer = endpoint(Call(request, faults, body, digest_of(record, faults)))
    except ApiError as error:
        answer = error.answer()
    return await deliver(answer, faults, request, record)
