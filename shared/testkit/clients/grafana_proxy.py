"""As much of Grafana as a client needs to reach a Loki behind it: the list of datasources, one datasource, its proxy.

In: requests of Grafana's HTTP API. Out: for what lies below `/api/datasources/proxy/uid/<uid>`, the answer of the server
behind it, unchanged. Never answers by itself what Loki would be asked.
"""

import http.server
import json
import threading
import urllib.error
import urllib.request

UID = "logbarn"
PROXY = f"/api/datasources/proxy/uid/{UID}"


class Grafana(http.server.BaseHTTPRequestHandler):
    """`loki` (the server's URL) and `unknown` (paths that this stand-in does not have) are set by `start`."""

    def do_GET(self):
        source = {"id": 1, "uid": UID, "name": "Logbarn", "type": "loki", "access": "proxy", "isDefault": True}
        path = self.path.partition("?")[0]
        if path == "/api/datasources":
            self.answer(200, "application/json", json.dumps([source]).encode())
        elif path == f"/api/datasources/uid/{UID}":
            self.answer(200, "application/json", json.dumps(source).encode())
        elif path.startswith(PROXY + "/"):
            self.forward(self.path[len(PROXY):])
        else:
            self.unknown.append(path)
            self.answer(404, "application/json", b'{"message":"Not found"}')

    def forward(self, path):
        try:
            with urllib.request.urlopen(self.loki + path, timeout=30) as r:
                self.answer(r.status, r.headers["Content-Type"], r.read())
        except urllib.error.HTTPError as e:
            self.answer(e.code, e.headers["Content-Type"], e.read())

    def answer(self, status, content_type, body):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def start(loki):
    """Serves in a thread; the server, with its address in `server_address`."""
    handler = type("Handler", (Grafana,), {"loki": loki, "unknown": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
