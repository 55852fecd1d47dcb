"""Servers that misbehave on command: a proxy in front of a real server (or of nobody) that refuses,
hangs, lies, cuts, throttles. Threads; standard library only."""

import http.client
import socket
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTML = b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"


class Proxy:
    """Listens at `url` and does to each request what `fault` says:

    good          hands it on                        html      200 with a page instead of JSON
    hang          never answers                      early     closes before any answer
    error         500 with a page                    truncated cuts the answer in the middle
    lost          hands it on, then closes: the      slow      answers after `delay` seconds
                  answer to what happened is lost    half      each second request: closes early
    throttle      429 with Retry-After: 1, each      limit     413 for bodies above `limit` bytes
                  second request                     refuse    nobody listens (see refuse())
    """

    def __init__(self, target=None, fault="good", delay=2.0, limit=64_000):
        self.target, self.fault, self.delay, self.limit = target, fault, delay, limit
        self.requests = []  # (method, path, bytes of the body, time)
        self.throttled = []  # (path, time)
        self.over = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                proxy.handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_one

            def log_message(self, *_):
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass  # Whoever asked went away.

        self.listener = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.listener.server_port}"
        threading.Thread(target=self.listener.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.listener.shutdown()
        self.listener.server_close()

    def handle(self, request):
        length = int(request.headers.get("Content-Length") or 0)
        number = len(self.requests)
        self.requests.append((request.command, request.path, length, time.monotonic()))
        fault = self.fault
        body = request.rfile.read(length)
        if fault == "limit" and length > self.limit:
            return self.answer(request, 413, b"<html>413 Request Entity Too Large</html>", "text/html")
        if fault == "hang":
            self.over.wait()
            return self.cut(request)
        if fault == "early" or (fault == "half" and number % 2 == 0):
            return self.cut(request)
        if fault == "error":
            return self.answer(request, 500, HTML, "text/html")
        if fault == "html":
            return self.answer(request, 200, HTML, "text/html")
        if fault == "throttle" and number % 2 == 0:
            self.throttled.append((request.path, time.monotonic()))
            return self.answer(request, 429, b'{"error_code":"REQUEST_LIMIT_EXCEEDED"}',
                               "application/json", {"Retry-After": "1"})
        if fault == "slow":
            self.over.wait(self.delay)
        status, answer, kind = self.hand_on(request, body)
        if fault == "lost" and number % 2 == 0:
            return self.cut(request)
        if fault == "truncated" and number % 2 == 0:
            return self.truncate(request, status, answer, kind)
        return self.answer(request, status, answer, kind)

    def hand_on(self, request, body):
        if self.target is None:
            return 503, b"nobody there", "text/plain"
        target = urllib.parse.urlsplit(self.target)
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
        try:
            headers = {k: v for k, v in request.headers.items()
                       if k.lower() not in ("host", "connection", "expect")}
            connection.request(request.command, request.path, body or None, headers)
            got = connection.getresponse()
            return got.status, got.read(), got.headers.get("Content-Type", "text/plain")
        except OSError:
            return 502, HTML, "text/html"
        finally:
            connection.close()

    def answer(self, request, status, body, kind, headers=None):
        request.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(body),
                            **(headers or {})}.items():
            request.send_header(name, str(value))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def truncate(self, request, status, body, kind):
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body) + 100))
        request.end_headers()
        request.wfile.write(body[:len(body) // 2])
        self.cut(request)

    @staticmethod
    def cut(request):
        request.close_connection = True
        try:
            request.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def refuse():
    """An address where nobody listens, held so that nobody else gets it: (socket, url)."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held, f"http://127.0.0.1:{held.getsockname()[1]}"
