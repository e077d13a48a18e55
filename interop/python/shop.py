"""A shop on Pyramid, with its sessions in Redis.

Its settings are the first argument, as JSON. Requests come on stdin, each a line of JSON; so do the answers on stdout.
"""

import json
import sys

import pyramid_session_redis
from pyramid.authentication import SessionAuthenticationHelper, SessionAuthenticationPolicy
from pyramid.authorization import ACLAuthorizationPolicy
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.security import forget, remember


class SecurityPolicy:
    """From the documentation of Pyramid 2."""

    def __init__(self):
        self.helper = SessionAuthenticationHelper()

    def identity(self, request):
        return self.helper.authenticated_userid(request)

    authenticated_userid = identity

    def permits(self, request, context, permission):
        return True

    def remember(self, request, userid, **kw):
        return self.helper.remember(request, userid, **kw)

    def forget(self, request, **kw):
        return self.helper.forget(request, **kw)


def show(request):
    session = request.session
    return {"user": request.authenticated_userid, "cart": session.get("cart"), "is_new": session.new}


def set_cart(request):
    request.session["cart"] = request.json_body


def log_in(request):
    remember(request, request.json_body)


def log_out(request):
    forget(request)


def leave(request):
    request.session.invalidate()


def keep_for(request):
    request.session.adjust_session_timeout(request.json_body)


def flash(request):
    request.session.flash(*request.json_body)


def pop_flash(request):
    return request.session.pop_flash(request.json_body)


def token(request):
    return request.session.get_csrf_token()


def order(request):
    return "ordered"


def set_odd(request):
    """Values that only Python's JSON has."""
    deep = []
    for _ in range(200):
        deep = [deep]
    odd = {"z": 2**200, "a": float("nan"), "b": [float("inf"), 1e-320, 0.1], "\ud800": "\ud800", "deep": deep}
    request.session["odd"] = odd
    request.session["large"] = -(10**40)


def show_odd(request):
    return repr([request.session["odd"], request.session["large"], request.session.created])


def version(request):
    return pyramid_session_redis.__VERSION__


VIEWS = (show, set_cart, log_in, log_out, leave, keep_for, flash, pop_flash, token, set_odd, show_odd, version)


def make_app(settings):
    legacy = settings.pop("legacy_policy", False)
    settings["redis.sessions.serialize"] = lambda session: json.dumps(session).encode()
    settings["redis.sessions.deserialize"] = json.loads
    config = Configurator(settings=settings)
    if legacy:
        config.set_authorization_policy(ACLAuthorizationPolicy())
        config.set_authentication_policy(SessionAuthenticationPolicy())
    else:
        config.set_security_policy(SecurityPolicy())
    config.include("pyramid_session_redis")
    for view in VIEWS:
        config.add_route(view.__name__, "/" + view.__name__)
        config.add_view(view, route_name=view.__name__, renderer="json")
    config.add_route("order", "/order")
    config.add_view(order, route_name="order", renderer="json", require_csrf=True)
    return config.make_wsgi_app()


def answer(app, asked):
    request = Request.blank(asked["path"], method=asked["method"], headers=asked["headers"])
    request.body = json.dumps(asked["body"]).encode()
    response = request.get_response(app)
    return {
        "status": response.status_code,
        "set_cookie": response.headers.getall("Set-Cookie"),
        "body": response.json_body if response.content_type == "application/json" else response.text,
    }


if __name__ == "__main__":
    app = make_app(json.loads(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(answer(app, json.loads(line))), flush=True)
