"""Asks through mcp-grafana, Grafana Labs' own client of Loki, and compares with what the server answers directly.

In: the program that its PyPI package brings, a server that clients have pushed to. Out: a row for `compare.py`'s table (questions asked,
answers that were the same) and what differs. Between the two stands `grafana_proxy`.
"""

import json
import subprocess
import time

import grafana_proxy

# Entries of one client, no two at one time: at a limit there is but one right choice.
SELECTOR = '{service_name="otlp-plain"}'
LIMIT = 50


class Mcp:
    """The client as a child process, spoken to in JSON lines."""

    def __init__(self, program, grafana):
        environment = {"GRAFANA_URL": grafana, "GRAFANA_USAGE_STATS": "disabled", "HOME": "/nonexistent"}
        arguments = [program, "--disable-docs"]
        self.process = subprocess.Popen(
            arguments, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.asked = 0
        hello = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "logbarn", "version": "1"}}
        self.version = self.ask("initialize", hello)["serverInfo"]["version"]
        self.say({"method": "notifications/initialized"})

    def say(self, message):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def ask(self, method, parameters):
        self.asked += 1
        self.say({"id": self.asked, "method": method, "params": parameters})
        for line in self.process.stdout:
            answer = json.loads(line)
            if answer.get("id") == self.asked:
                return answer.get("result") or {"content": [{"text": json.dumps(answer["error"])}], "isError": True}
        raise SystemExit("mcp-grafana ended")

    def tool(self, name, **arguments):
        result = self.ask("tools/call", {"name": name, "arguments": {"datasourceUid": grafana_proxy.UID, **arguments}})
        text = result["content"][0]["text"]
        return f"error: {text}" if result.get("isError") else json.loads(text)


def rfc3339(time_s):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))


def questions(mcp, server):
    """Pairs of what the client says and what the server says, with a name."""
    # Given in full, so that both ask for the same window.
    end = int(time.time()) + 60
    start = end - 3_600
    window = {"startRfc3339": rfc3339(start), "endRfc3339": rfc3339(end)}
    direct = {"start": start, "end": end}
    api = "/loki/api/v1"
    yield "label names", mcp.tool("list_loki_label_names", **window), server.get(f"{api}/labels", **direct)["data"]
    yield "label names of a selector", mcp.tool("list_loki_label_names", matcher=SELECTOR, **window), server.get(
        f"{api}/labels", query=SELECTOR, **direct
    )["data"]
    values = mcp.tool("list_loki_label_values", labelName="client", **window)
    yield "label values", values, server.get(f"{api}/label/client/values", **direct)["data"]
    stats = mcp.tool("query_loki_stats", logql=SELECTOR, **window)
    yield "stats", stats, server.get(f"{api}/index/stats", query=SELECTOR, **direct)
    for direction in ["backward", "forward"]:
        logs = mcp.tool("query_loki_logs", logql=SELECTOR, limit=LIMIT, direction=direction, **window)
        query = {"query": SELECTOR, "limit": LIMIT, "direction": direction}
        yield f"logs {direction}", told(logs), lines(server.get(f"{api}/query_range", **query, **direct))
    for metric in [f"sum by (detected_level) (count_over_time({SELECTOR}[5m]))", f'sum(rate({SELECTOR} |= "quotes" [1m]))']:
        logs = mcp.tool("query_loki_logs", logql=metric, stepSeconds=60, **window)
        answer = server.get(f"{api}/query_range", query=metric, step=60, **direct)
        yield f"range of {metric}", told_samples(logs), samples(answer)
    metric = f"sum(count_over_time({SELECTOR}[1h]))"
    instant = mcp.tool("query_loki_logs", logql=metric, queryType="instant", endRfc3339=window["endRfc3339"])
    yield f"instant {metric}", told_samples(instant), samples(server.get(f"{api}/query", query=metric, time=end))
    patterns = mcp.tool("query_loki_patterns", logql=SELECTOR, step="1m", **window)
    answer = server.get(f"{api}/patterns", query=SELECTOR, step="1m", **direct)
    counted = {(p["pattern"], sum(count for _, count in p["samples"])) for p in answer["data"]}
    yield "patterns", told_patterns(patterns), counted
    broken = mcp.tool("query_loki_logs", logql="{client=", **window)
    yield "a broken query", "parse error at line 1" in str(broken), True


def told(logs):
    """Time, line and labels of each entry, as mcp-grafana tells them."""
    if isinstance(logs, str):
        return logs
    return sorted((entry["timestamp"], entry["line"], sorted(entry["labels"].items())) for entry in logs["data"])


def lines(answer):
    """The same, as Loki's API has it: there an entry's labels are its stream's."""
    result = answer["data"]["result"]
    return sorted((t, line, sorted(stream["stream"].items())) for stream in result for t, line in stream["values"])


def told_samples(answer):
    """Labels, time and value of each sample, as mcp-grafana tells them."""
    if isinstance(answer, str):
        return answer
    series = [(s["labels"], s.get("values", [s])) for s in answer["data"]]
    return sorted((sorted(labels.items()), float(v["timestamp"]), float(v["value"])) for labels, values in series for v in values)


def samples(answer):
    """The same, as Loki's API has it."""
    series = [(s["metric"], s.get("values") or [s["value"]]) for s in answer["data"]["result"]]
    return sorted((sorted(labels.items()), float(t), float(v)) for labels, values in series for t, v in values)


def told_patterns(patterns):
    return patterns if isinstance(patterns, str) else {(p["pattern"], p["totalCount"]) for p in patterns}


def ask_through_mcp(program, server):
    grafana = grafana_proxy.start(server.url)
    mcp = Mcp(program, f"http://127.0.0.1:{grafana.server_address[1]}")
    try:
        pairs = list(questions(mcp, server))
    finally:
        mcp.process.terminate()
        mcp.process.wait()
        grafana.shutdown()
    wrong = [f"{name}:\n  through the client {got!r:.700}\n  directly {want!r:.700}" for name, got, want in pairs if got != want or not got]
    return ("mcp-grafana (reads)", mcp.version.lstrip("v"), len(pairs), len(pairs) - len(wrong)), wrong
