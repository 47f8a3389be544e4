"""A web server on this machine that does what a test tells it, well or badly, and remembers what it was asked."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BINARY = "application/octet-stream"


class Server(ThreadingHTTPServer):
    """Answers the first request by the first of ``acts``, and so on; the last act is for all that follow."""

    daemon_threads = True

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.acts, self.asked = content, [whole], []
        self.requests = []  # (path, headers) of each
        self.gate = threading.Event()  # what `stall` waits for
        self.address = f"http://127.0.0.1:{self.server_port}/file"

    def handle_error(self, request, client_address):
        """A client that leaves is no news."""


@contextmanager
def serve(content, context=None):
    """A server that runs; over TLS with an SSL ``context``."""
    with Server(content) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.address = server.address.replace("http://", "https://")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.gate.set()
        server.shutdown()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        number = len(self.server.asked)
        self.server.asked.append(self.headers.get("Range"))
        self.server.requests.append((self.path, dict(self.headers)))
        self.server.acts[min(number, len(self.server.acts) - 1)](self)

    do_CONNECT = do_GET  # what a proxy is asked for

    def log_message(self, *words):
        """Quietly."""

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


def whole(web, body=None, *, upto=None, length=None, tag='"1"', kind=BINARY, **headers):
    """All of it; only the first ``upto`` bytes, or with another ``length`` declared."""
    body = web.server.content if body is None else body
    web.head(200, Content_Length=len(body) if length is None else length, ETag=tag, Content_Type=kind, **headers)
    web.wfile.write(body[:upto])


def ranged(web, *, upto=None, tag='"1"', moved=0, total=None):
    """The part that is asked for, if it is of this version; ``upto`` so many bytes of it; ``moved``: another part."""
    asked, body = web.headers.get("Range"), web.server.content
    if asked is None or web.headers.get("If-Range", tag) != tag:
        return whole(web, upto=upto, tag=tag)
    start = int(asked.removeprefix("bytes=").removesuffix("-"))
    if start >= len(body):
        return web.head(416, Content_Range=f"bytes */{len(body)}")
    start += moved
    where = f"bytes {start}-{len(body) - 1}/{total or len(body)}"
    web.head(206, Content_Range=where, Content_Length=len(body) - start, ETag=tag)
    web.wfile.write(body[start:][:upto])


def endless(web):
    """No length, and no end."""
    web.head(200, Content_Type=BINARY)
    while True:
        web.wfile.write(web.server.content)


def until_closed(web):
    """No length: it ends where the connection does."""
    web.head(200, Content_Type=BINARY)
    web.wfile.write(web.server.content)


def chunks(web):
    """Half of it in chunks, without the one that says that it was the last."""
    half = web.server.content[: len(web.server.content) // 2]
    web.head(200, Transfer_Encoding="chunked", Content_Type=BINARY, ETag='"1"')
    web.wfile.write(f"{len(half):x}\r\n".encode() + half + b"\r\n")


def stall(web, upto=0):
    """Begin, then nothing until the gate opens."""
    whole(web, upto=upto)
    web.wfile.flush()
    web.server.gate.wait(60)
    web.wfile.write(web.server.content[upto:])


def drip(web):
    """A byte now and then."""
    whole(web, upto=0)
    for at in range(len(web.server.content)):
        web.wfile.write(web.server.content[at : at + 1])
        if web.server.gate.wait(0.02):
            return


def act(function, **settings):
    return lambda web: function(web, **settings)


def status(code, **headers):
    return lambda web: web.head(code, **headers)
