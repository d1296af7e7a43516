"""A door between the functions and LocalStack: counts what goes through, and can hold one request.

In: LocalStack's address. Out: an address that answers the same. A request is held before LocalStack has seen it, or behind its answer,
so that a function can be killed at the two moments that matter: its write did not happen, or it did and nobody was told.
"""
import collections, http.client, http.server, threading, urllib.parse

# What belongs to one connection.
NOT_PASSED = ("host", "connection", "transfer-encoding", "content-length", "expect")


class Held:
    """One request that is to be held: `came` when it stands in the door, `release` lets its connection fall."""

    def __init__(self, method, part, before):
        self.method, self.part, self.before = method, part, before
        self.came, self.released = threading.Event(), threading.Event()

    def stand(self):
        self.came.set()
        self.released.wait()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    door = None

    def log_message(self, *_):
        pass

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        held = self.door.take_held(self.command, self.path)
        if held and held.before:
            return self.fall(held)
        upstream = http.client.HTTPConnection(self.door.upstream, timeout=300)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_PASSED}
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        text = answer.read()
        upstream.close()
        if held:
            return self.fall(held)
        self.door.count(self.command, self.path, body, text)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in (*NOT_PASSED, "server", "date") or self.command == "HEAD" and name.lower() == "content-length":
                self.send_header(name, value)
        if self.command != "HEAD" and answer.status != 204:
            self.send_header("Content-Length", str(len(text)))
        try:
            self.end_headers()
            self.wfile.write(text)
        except ConnectionError:  # whoever asked was killed
            self.close_connection = True

    def fall(self, held):
        held.stand()
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on


class Door:
    def __init__(self, upstream):
        self.upstream, self.lock, self.held = urllib.parse.urlsplit(upstream).netloc, threading.Lock(), None
        self.counts = collections.Counter()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("OfThisDoor", (Handler,), {"door": self}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    def hold(self, method, part, before):
        """Holds the next request of a method whose path has this part."""
        with self.lock:
            self.held = Held(method, part, before)
            return self.held

    def take_held(self, method, path):
        with self.lock:
            held = self.held
            if held and method == held.method and held.part in urllib.parse.unquote(path):
                self.held = None
                return held

    def count(self, method, path, body, answer):
        with self.lock:
            if "/functions/" in path:
                self.counts["leaves" if b"logbarn_shard" in body else "other invocations"] += 1
            else:
                self.counts["requests"] += 1
                self.counts["bytes"] += len(answer) if method == "GET" else 0
