"""The token endpoint of `--auth oauth`: `POST /oauth/token`, as RFC 6749 describes it.

It stands beside the API, whose document names it as the `tokenUrl` of a security scheme.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from openhands_reference_server.http.answers import dumps
from openhands_reference_server.users.tokens import Grant, Refused, TokenDesk

PATH = "/oauth/token"
_FORM = "application/x-www-form-urlencoded"
_MOST_BYTES = 64 * 1024
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TokenEndpoint:
    """A WSGI application that answers token requests."""

    def __init__(self, desk: TokenDesk) -> None:
        self._desk = desk

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one."""
        request = Request(environ)
        request.max_content_length = _MOST_BYTES
        try:
            response = self._answer(request)
        except Refused as refused:
            response = _refusal(refused, by_header=request.authorization is not None)
        except HTTPException as error:
            response = _refusal(Refused("invalid_request", error.description or error.name))
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if request.method != "POST":
            refused = _refusal(Refused("invalid_request", "token requests are sent with POST"))
            refused.status_code, refused.headers["Allow"] = 405, "POST"
            return refused
        if request.mimetype != _FORM:
            raise Refused("invalid_request", f"a token request is a form: Content-Type {_FORM}")
        form = request.form
        repeated = sorted(name for name in form if len(form.getlist(name)) > 1)
        if repeated:
            raise Refused("invalid_request", f"{repeated[0]} is there more than once")
        return _granted(self._desk.grant(form, *_credentials(request)))


def _credentials(request: Request) -> tuple[str, str]:
    """Id and secret of the client: in the header (RFC 6749, 2.3.1) or in the form, not in both."""
    header, form = request.authorization, request.form
    if header is None:
        return form.get("client_id", ""), form.get("client_secret", "")
    if header.type != "basic" or "client_secret" in form:
        raise Refused(
            "invalid_request", "a client shows itself either by Basic authentication or in the form"
        )
    return header.username or "", header.password or ""


def _granted(grant: Grant) -> Response:
    body: dict[str, Any] = {
        "access_token": grant.access_token,
        "token_type": "Bearer",
        "expires_in": math.floor(grant.expires_in),
    }
    if grant.refresh_token is not None:
        body["refresh_token"] = grant.refresh_token
    return Response(dumps(body), mimetype="application/json", headers=_NO_STORE)


def _refusal(refused: Refused, *, by_header: bool = False) -> Response:
    body = {"error": refused.code, "error_description": refused.description}
    unknown = refused.code == "invalid_client"
    response = Response(dumps(body), 401 if unknown else 400, mimetype="application/json", headers=_NO_STORE)
    if unknown and by_header:
        response.headers["WWW-Authenticate"] = 'Basic realm="openhands"'
    return response
