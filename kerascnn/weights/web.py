"""urllib, reduced to HTTP: its own opener follows a redirect to ftp://, and opens file:// too."""

from urllib import request
from urllib.parse import urlsplit


class Redirects(request.HTTPRedirectHandler):
    """Follow redirects to HTTP only, and never from a protected connection to an open one."""

    def redirect_request(self, asked, file, code, message, headers, address):
        allowed = ("https",) if asked.type == "https" else ("http", "https")
        if urlsplit(address).scheme not in allowed:
            return None
        return super().redirect_request(asked, file, code, message, headers, address)


def opener():
    """Opens addresses of HTTP, through the system's proxy, and no others."""
    found = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
        request.UnknownHandler(),
        Redirects(),
    ):
        found.add_handler(handler)
    return found
