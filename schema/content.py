"""Content over HTTP: what the signed links of local storage download and upload. S3 does both by itself."""

import asyncio
from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from services.errors import AssetNotFound, Forbidden, StorageUnavailable
from services.settings import Settings
from services.storage import LocalStorage


async def answer_link(request: Request) -> Response:
    """Answer a signed link."""
    match request.method:
        case "PUT":
            return await _upload(request)
        case "GET" | "HEAD":
            return await _download(request)
    return Response(status_code=405, headers={"Allow": "GET, HEAD, PUT"})


async def _download(request: Request) -> Response:
    """Answer a link that downloads."""
    storage: LocalStorage = request.app.state.resources.storage
    query = request.query_params
    filename = query.get("filename", "")
    try:
        path = storage.verify(
            request.path_params["key"],
            filename=filename,
            expires=query.get("expires", ""),
            signature=query.get("signature", ""),
        )
    except AssetNotFound as error:
        return PlainTextResponse(str(error), status_code=404)
    return FileResponse(
        path,
        filename=filename,
        content_disposition_type="inline",
        # The content under a key never changes. Nothing in it may act as a page of ours.
        headers={
            "Cache-Control": "private, max-age=86400, immutable",
            "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
            # Whoever was given the link may show it.
            "Cross-Origin-Resource-Policy": "cross-origin",
        },
    )


async def _upload(request: Request) -> Response:
    """Answer a link that uploads: what comes is streamed into storage, and there whole or not at all."""
    storage: LocalStorage = request.app.state.resources.storage
    query = request.query_params
    key = request.path_params["key"]
    content_type = request.headers.get("content-type", "").strip().lower()
    try:
        storage.verify_upload(
            key,
            content_type=content_type,
            expires=query.get("expires", ""),
            signature=query.get("signature", ""),
        )
        await storage.put(key, _bounded(request), content_type)
    except Forbidden as error:
        return PlainTextResponse(str(error), status_code=403)
    except HTTPException as error:
        return PlainTextResponse(error.detail, status_code=error.status_code)
    except StorageUnavailable as error:
        return PlainTextResponse(str(error), status_code=503)
    except ClientDisconnect:
        pass  # and nobody is there to be told
    return Response()


async def _bounded(request: Request) -> AsyncIterator[bytes]:
    """Pass on what comes, as long as it comes and is not too much.

    Raises:
        HTTPException: it does not come any more, or is too much.
        ClientDisconnect: the client left before the end.
    """
    settings: Settings = request.app.state.settings
    announced = request.headers.get("content-length", "")
    read = int(announced) if announced.isdecimal() else 0
    most = settings.max_upload_bytes
    too_much = HTTPException(413, f"An upload may hold {most} bytes at the most.")
    if read > most:
        raise too_much
    read = 0
    chunks = request.stream()
    while True:
        try:
            async with asyncio.timeout(settings.stream_idle_s):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise HTTPException(408, "Nothing has come for too long.") from None
        if chunk is None:
            return
        read += len(chunk)
        if read > most:
            raise too_much
        yield chunk
