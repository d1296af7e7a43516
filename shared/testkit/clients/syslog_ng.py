"""Sends every entry of a file to syslog-ng, which ships it with its `http()` destination.

In: the server's URL, the entries that `compare.py` wrote, a folder to work in. Out: pushes. Ends when syslog-ng counts all of them as
written, or fails when it counts a dropped one. Datagrams on a socket keep what is inside a message, newlines too.
"""

import json
import os
import socket
import subprocess
import sys
import time

# How long syslog-ng may take over everything.
WAIT_S = 30

CONFIG = """
@version: 3.38
options { keep-hostname(yes); stats-freq(0); log-msg-size(1048576); };
source entries { unix-dgram("SOCKET" flags(no-parse) so-rcvbuf(8388608)); };
destination loki {
  http(
    url("URL/loki/api/v1/push")
    method("POST")
    headers("Content-Type: application/json")
    batch-lines(50) batch-timeout(200)
    body-prefix('{"streams":[')
    delimiter(",")
    body-suffix(']}')
    # format-json makes an object of one field; without its first five and its last character it is the text, quoted.
    body('{"stream":{"client":"syslog-ng","place":"barn 3"},"values":[["${R_UNIXTIME}${R_USEC}000",$(substr $(format-json m=$MESSAGE) 5 -1)]]}')
  );
};
log { source(entries); destination(loki); flags(flow-control); };
"""


def written(control):
    """Messages that the destination wrote and dropped."""
    text = subprocess.run(["syslog-ng-ctl", "stats", "-c", control], capture_output=True, text=True, check=True).stdout
    counts = {}
    for line in text.splitlines():
        fields = line.split(";")
        if fields[0] == "dst.http":
            counts[fields[4]] = int(fields[5])
    return counts.get("written", 0), counts.get("dropped", 0)


def main():
    url, entries, folder = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3]
    path = lambda name: os.path.join(folder, name)
    with open(path("syslog-ng.conf"), "w") as f:
        f.write(CONFIG.replace("SOCKET", path("entries.sock")).replace("URL", url))
    files = ["-f", path("syslog-ng.conf"), "-R", path("persist"), "-p", path("pid"), "-c", path("control")]
    server = subprocess.Popen(["syslog-ng", "--foreground", "--no-caps", "--stderr", *files])
    try:
        deadline = time.monotonic() + WAIT_S
        wait_until(lambda: os.path.exists(path("entries.sock")) and os.path.exists(path("control")), server, deadline)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(path("entries.sock"))
            for entry in entries:
                s.send(entry["line"].encode())
        wait_until(lambda: sum(written(path("control"))) >= len(entries), server, deadline)
        sys.exit(written(path("control"))[1])
    finally:
        server.terminate()
        server.wait()


def wait_until(done, server, deadline):
    while not done():
        if server.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"syslog-ng did not do it in {WAIT_S} s; its exit status is {server.poll()}")
        time.sleep(0.05)


main()
