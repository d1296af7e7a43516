"""Lets real clients push to, and read from, a real `logbarn serve`, and compares entry by entry.

In: the built binary, the folder under which `.ci/clients` installed the clients. Out: a table of client, version, entries sent, entries
read back; what differs is printed before it, and makes the exit status 1. The server works on a folder of its own that is gone
afterwards. Never talks to anything but 127.0.0.1.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from mcp_grafana import ask_through_mcp

HERE = pathlib.Path(__file__).parent
ENTRIES = 200
CLIENT_SECONDS_MAX = 60
LEVELS = ["info", "warn", "error"]
# What has gone wrong in somebody's client before, and the level that Loki finds in the line if nobody tells one.
AWKWARD = [
    ("plain words", "unknown"),
    ("грузовик 🚚 日本語 é ﬁ \u00a0 \u200d", "unknown"),
    ("quotes \" ' ` and \\ backslashes \\n \\u0041", "unknown"),
    ("two\nlines\tand a tab\r\nand one more", "unknown"),
    ('{"a":"b","n":[1,2,{"c":null}]} behind a number', "unknown"),
    ('level=warn msg="a b" took=3ms', "warn"),
    ("<b>&amp;</b> {{.template}} ${HOME} $(id) %s %d {msg}", "unknown"),
    ("\x01 control \x1b[31mred\x1b[0m \x7f", "unknown"),
    ("separators \u2028 and \u2029", "unknown"),
    ("long " + "x" * 20_000, "unknown"),
]
CATEGORIZE = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}


def entries(now_ns):
    """What every client is to log: numbered, so that lines can be put in order whatever a client does to times."""
    made = []
    for i in range(ENTRIES):
        text, found_level = AWKWARD[i % len(AWKWARD)]
        made.append(
            {
                "line": f"{i:04} {text}",
                "level": LEVELS[i // len(AWKWARD) % len(LEVELS)],
                "found_level": found_level,
                "order": f'order "{i}" ü',
                "shelf": f"shelf {i % 2}",
                "time_ns": str(now_ns - (ENTRIES - i) * 1_000_000_007),
            }
        )
    return made


# What each client makes of an entry: labels of its stream, structured metadata, line.
def python_logging(version):
    words = {"warn": "warning"}

    def make(e):
        labels = {"client": f"python-logging-loki-{version}", "place": 'barn "3"', "logger": "barn", "shelf": e["shelf"]}
        return labels | {"severity": words.get(e["level"], e["level"])}, {"detected_level": e["level"]}, e["line"]

    return make


def otlp(how, sdk_version):
    numbers = {"info": "9", "warn": "13", "error": "17"}

    def make(e):
        metadata = {"order_id": e["order"], "count": "3", "ratio": "0.5", "done": "true", "tags": '["a","b"]'}
        metadata |= {"severity_number": numbers[e["level"]], "severity_text": e["level"].upper()}
        metadata |= {"scope_name": "barn.scope", "scope_version": "0.7", "service_version": "1.2.3"}
        metadata |= {"telemetry_sdk_language": "python", "telemetry_sdk_name": "opentelemetry"}
        metadata |= {"telemetry_sdk_version": sdk_version, "detected_level": e["level"]}
        return {"service_name": f"otlp-{how}", "service_instance_id": "one", "k8s_pod_name": 'pod "ü"'}, metadata, e["line"]

    return make


def winston(how):
    def make(e):
        labels = {"client": f"winston-loki-{how}", "place": "barn '3'", "level": e["level"], "shelf": e["shelf"]}
        # The protobuf form has no metadata; the JSON form repeats the level, which steps back before the label.
        metadata = {"order": e["order"], "level_extracted": e["level"]} if how == "json" else {}
        return labels, metadata | {"detected_level": e["level"]}, e["line"]

    return make


def pino(e):
    level = {"warn": "warning"}.get(e["level"], e["level"])
    labels = {"client": "pino-loki", "place": 'barn "3"', "level": level, "shelf": e["shelf"], "hostname": socket.gethostname()}
    meta = {"order": e["order"], "count": 3, "nested": {"a": 1}}
    metadata = {"order": e["order"], "count": "3", "nested": '{"a":1}', "detected_level": e["level"]}
    line = {"level": {"info": 30, "warn": 40, "error": 50}[e["level"]], "shelf": e["shelf"], "meta": meta, "msg": e["line"]}
    return labels, metadata, line


def tracing_loki(e):
    line = {"message": e["line"], "order": e["order"], "place": 'barn "3"', "_spans": [], "_target": "push_with_tracing_loki"}
    line |= {"_module_path": "push_with_tracing_loki", "_file": "src/main.rs"}
    return {"client": "tracing-loki", "level": e["level"]}, {"detected_level": e["level"]}, line


def syslog_ng(e):
    return {"client": "syslog-ng", "place": "barn 3"}, {"detected_level": e["found_level"]}, e["line"]


def without(*names):
    """A line of JSON as an object, without what a client adds and nobody can foresee."""
    return lambda line: {k: v for k, v in json.loads(line).items() if k not in names}


class Server:
    """`logbarn serve` on a folder, and its answers."""

    def __init__(self, binary, folder):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{s.getsockname()[1]}"
        self.url = f"http://{self.address}"
        arguments = ["serve", "--listen", self.address, "--store", f"file://{folder}/data"]
        self.process = subprocess.Popen([binary, *arguments], cwd=folder, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                return urllib.request.urlopen(self.url + "/ready", timeout=1).close()
            except OSError:
                time.sleep(0.05)
        sys.exit("logbarn did not start")

    def get(self, path, headers={}, **parameters):
        url = f"{self.url}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as r:
            return json.load(r)

    def read(self, selector):
        """Every entry of a selector: labels, metadata, time, line."""
        answer = self.get("/loki/api/v1/query_range", CATEGORIZE, query=selector, limit=5000, direction="forward")
        found = []
        for stream in answer["data"]["result"]:
            for time_ns, line, categories in stream["values"]:
                metadata = categories.get("structuredMetadata", {})
                found.append((stream["stream"], metadata, time_ns, line))
        return found


def number(line):
    """The number that `entries` put in front, wherever the client put the line."""
    found = re.search(r"\b\d{4} ", line)
    return found.group() if found else ""


def compare(client, sent, found, started_ns, ended_ns):
    """What differs, as text; nothing if every entry is there once, as sent."""
    differences = []
    found = sorted(found, key=lambda entry: number(entry[3]))
    if len(found) != len(sent):
        differences.append(f"{len(sent)} entries sent, {len(found)} read back")
    for entry, (labels, metadata, time_ns, line) in zip(sent, found):
        want_labels, want_metadata, want_line = client["made"](entry)
        want_labels = {"service_name": "unknown_service"} | want_labels
        metadata = {name: value for name, value in metadata.items() if name not in client.get("unforeseen", ())}
        got_line = client.get("line", lambda text: text)(line)
        if client.get("own_times"):
            time_differs = time_ns != entry["time_ns"]
        else:
            # Some clients have milliseconds only.
            time_differs = not started_ns - 1_000_000 <= int(time_ns) <= ended_ns
        for what, want, got in [("labels", want_labels, labels), ("metadata", want_metadata, metadata), ("line", want_line, got_line)]:
            if want != got:
                differences.append(f"{what} of {entry['line'][:30]!r}:\n  sent {want!r:.400}\n  read {got!r:.400}")
        if time_differs:
            differences.append(f"time of {entry['line'][:30]!r}: {time_ns}, sent {entry['time_ns']} in {started_ns}..{ended_ns}")
    return differences


def clients(installed):
    """Name, version, command behind which URL and file of entries come, selector, and what to expect."""
    python, node = f"{installed}/python/bin/python", "node"
    pip = lambda name: output([python, "-c", f"import importlib.metadata as m; print(m.version('{name}'))"])
    npm = lambda name: json.load(open(f"{installed}/node/node_modules/{name}/package.json"))["version"]
    crate = re.search(r'name = "tracing-loki"\nversion = "(.*)"', (HERE / "tracing-loki/Cargo.lock").read_text()).group(1)
    syslog_version = output(["syslog-ng", "--version"]).split("(")[1].split(")")[0]
    sdk = pip("opentelemetry-sdk")
    for v in ["0", "1"]:
        command = [python, f"{HERE}/python_logging_loki.py", "URL", "ENTRIES", v]
        name = f"python-logging-loki, emitter {v}"
        yield {"name": name, "version": pip("python-logging-loki"), "command": command, "made": python_logging(v),
               "selector": f'{{client="python-logging-loki-{v}"}}'}
    for how in ["plain", "gzip"]:
        command = [python, f"{HERE}/otlp.py", "URL", "ENTRIES", how]
        yield {"name": f"OpenTelemetry SDK, {how}", "version": sdk, "command": command, "made": otlp(how, sdk), "own_times": True,
               "selector": f'{{service_name="otlp-{how}"}}', "unforeseen": ["observed_timestamp"]}
    for how in ["protobuf", "json"]:
        command = [node, f"{HERE}/winston.cjs", "URL", "ENTRIES", how]
        yield {"name": f"winston-loki, {how}", "version": npm("winston-loki"), "command": command, "made": winston(how),
               "selector": f'{{client="winston-loki-{how}"}}'}
    yield {"name": "pino-loki", "version": npm("pino-loki"), "command": [node, f"{HERE}/pino.cjs", "URL", "ENTRIES"], "made": pino,
           "selector": '{client="pino-loki"}', "line": without("time", "pid")}
    binary = f"{installed}/tracing-loki/debug/push-with-tracing-loki"
    yield {"name": "tracing-loki", "version": crate, "command": [binary, "URL", "ENTRIES"], "made": tracing_loki,
           "selector": '{client="tracing-loki"}', "line": without("_line")}
    yield {"name": "syslog-ng, http()", "version": syslog_version, "command": [sys.executable, f"{HERE}/syslog_ng.py", "URL", "ENTRIES", "FOLDER"],
           "made": syslog_ng, "selector": '{client="syslog-ng"}'}


def output(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def push_and_read(client, server, folder, installed):
    """One row of the table, and what differs."""
    started_ns = time.time_ns()
    sent = entries(started_ns)
    path = pathlib.Path(folder) / "entries.json"
    path.write_text(json.dumps(sent))
    words = {"URL": server.url, "ENTRIES": str(path), "FOLDER": folder}
    environment = os.environ | {"CLIENTS_NODE": f"{installed}/node"}
    for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"]:
        environment.pop(name, None)
    command = [words.get(word, word) for word in client["command"]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CLIENT_SECONDS_MAX)
    found = server.read(client["selector"])
    differences = compare(client, sent, found, started_ns, time.time_ns())
    if done.returncode != 0:
        differences.append(f"exit status {done.returncode}: {done.stderr[-2000:]}")
    return (client["name"], client["version"], len(sent), len(found)), differences


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--binary", required=True)
    arguments.add_argument("--installed", required=True)
    given = arguments.parse_args()
    rows, failed = [], 0
    with tempfile.TemporaryDirectory() as folder:
        server = Server(os.path.abspath(given.binary), folder)
        try:
            results = [push_and_read(client, server, folder, given.installed) for client in clients(given.installed)]
            results.append(ask_through_mcp(f"{given.installed}/mcp/bin/mcp-grafana", server))
        finally:
            server.process.terminate()
            server.process.wait()
    for row, differences in results:
        rows.append(row)
        failed += bool(differences)
        for difference in differences[:10]:
            print(f"--- {row[0]}: {difference}")
        if len(differences) > 10:
            print(f"--- {row[0]}: {len(differences) - 10} more")
    table = [("client", "version", "sent", "read back"), *rows]
    widths = [max(len(str(row[i])) for row in table) for i in range(4)]
    for row in table:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())
    print(f"{len(rows) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
