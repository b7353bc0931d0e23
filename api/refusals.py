"""Every failure becomes an answer in one place: coded, with a reference, and with nothing of the failure's own words."""

import secrets

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from api.answers import failure
from api.errors import MethodNotAllowed, NotFound, RequestError, StorageAway, UnknownCursor
from session.errors import InternalError, SessionError
from storage.errors import BadCursor, StorageDenied, StorageUnavailable, TableMissing

log = structlog.get_logger()


@web.middleware
async def telling(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what is asked, or say why not."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        return failure(MethodNotAllowed(), headers={"Allow": error.headers["Allow"]})
    except web.HTTPException as error:
        return failure(NotFound() if error.status == NotFound.status else RequestError(), detail=error.reason)
    except BadCursor:
        return failure(UnknownCursor())
    except (StorageUnavailable, StorageDenied, TableMissing) as error:
        return failure(StorageAway(), detail=str(error))
    except SessionError as error:
        return failure(error)
    except ConnectionResetError:
        raise  # nobody is there to be told
    except Exception as error:  # noqa: BLE001 - the root of a request's task
        return _crashed(error)


def _crashed(error: Exception) -> web.Response:
    ref = secrets.token_hex(6)
    log.error("request.crashed", ref=ref, exc_info=error)
    return failure(InternalError(), detail=f"see request.crashed {ref}")
