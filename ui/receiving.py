"""The routes through which a page sends files and takes them back; what becomes of them is in ``uploads``."""

from __future__ import annotations

from typing import Any

from ui.asking import AppError
from ui.session import Session
from ui.uploads import UploadError


def add_upload_routes(app: Any, session: Session) -> None:
    """Add ``POST /uploads/BATCH?name=RELATIVE`` (the body is the file) and ``DELETE`` of the same.

    The answer is {"name": what it is called now}, or {"error": a sentence} with a status that is not 200.
    """
    from starlette.responses import JSONResponse

    async def receive(request: Any) -> JSONResponse:
        try:
            session.check_writable()
            batch, name = request.path_params["batch"], request.query_params.get("name", "")
            if request.method == "DELETE":
                session.uploads.remove(batch, name)
                return JSONResponse({"name": name})
            return JSONResponse({"name": await session.uploads.receive(batch, name, request.stream())})
        except UploadError as error:
            return JSONResponse({"error": str(error)}, error.status)
        except AppError as error:
            return JSONResponse({"error": str(error)}, 403)
        except OSError as error:  # a full disk, say; its message names our folders
            return JSONResponse({"error": f"the file could not be stored: {error.strerror}"}, 507)

    app.add_route("/uploads/{batch}", receive, methods=["POST", "DELETE"])
