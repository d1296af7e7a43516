#!/usr/bin/env python3
"""Asks the bench questions of a function that fans out, of one that does not and of a local server: three times the same answer.

    fan.py [--binaries target/release] [--frames FILE]

Run it with the Python of target/localstack. FILE is a bench set (see shared/testkit/bench/questions.py); without it a small one of the
same kind is made up. Prints for each question what went over the wire, as the door before LocalStack counts it: leaves that
were invoked, requests to the bucket and bytes of it. Each function starts cold at its first question and keeps its caches.
"""
import argparse, json, math, os, random, shutil, sys, tempfile, urllib.parse, urllib.request

from deploy import Deployed

sys.path.insert(0, "shared/testkit/bench")
import questions

SHARDS, LEAVES_MIN = 16, 8
ENTRIES, HOURS = 24_000, 24
SERVICES = {
    "nginx": '10.0.0.{id} - - "GET /{word} HTTP/1.1" {status} {took}',
    "web-server": '{{"level":"{level}","path":"/{word}","status":{status},"took":{took},"id":"{id}"}}',
    "loki": "level={level} caller=engine.go:{id} duration={took}ms msg={word}",
    "tempo": "level={level} {word} of block {id}",
    "worker": "{level}: job {id} {word}",
}
# Fans out however small the set is: shards of a few kilobytes.
FAN_OUT = f"{{fan_out: {{bytes_per_shard: 4KB, shards_max: {SHARDS}, concurrency_max: {LEAVES_MIN}}}}}"


def made_up():
    """A day of logs as pushes in JSON, one an hour; the same each time."""
    draw = random.Random(7)
    for hour in range(HOURS):
        streams = []
        for service, line in SERVICES.items():
            for cluster in ("a", "b"):
                times = sorted(draw.randrange(3600 * 10**9) for _ in range(ENTRIES // HOURS // len(SERVICES) // 2))
                streams.append({"stream": {"service_name": service, "cluster": cluster}, "values": [value(draw, line, hour, t) for t in times]})
        yield "application/json", json.dumps({"streams": streams}).encode()


def value(draw, line, hour, time_ns):
    word = draw.choice(["orders", "users", "login", "error", "error", "panic" if draw.random() < 0.01 else "health"])
    level = draw.choice(["info", "info", "warn", "error"])
    text = line.format(id=draw.randrange(10**6), word=word, status=draw.choice([200, 200, 404, 500]), took=draw.randrange(2000), level=level)
    return [str((questions.DAY_START + hour * 3600) * 10**9 + time_ns), text, {"trace_id": f"{draw.getrandbits(128):032x}"}]


class Asked:
    """What can be pushed to and asked, as the bench does it."""

    def __init__(self, url):
        self.url = url

    def get(self, path, params=None):
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(params or {})}", timeout=120) as answer:
            return answer.read()

    def push(self, content_type, body):
        request = urllib.request.Request(f"{self.url}/loki/api/v1/push", body, {"Content-Type": content_type})
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert answer.status == 204, answer.read()


def in_order(result):
    """An answer without the order that Loki leaves open (of streams, of series, of entries of one time), and without the number of
    chunks, which a merge changes."""
    key = lambda one: json.dumps(one, sort_keys=True)
    entries = [[value, series["stream"]] for series in result if "stream" in series for value in series["values"]]
    result = [{"values": [dict(row, chunks=0) if isinstance(row, dict) else row for row in series["values"]]} | {"metric": series.get("metric")}
              if "values" in series else series for series in result]
    return sorted(entries, key=key) if entries else sorted(result, key=lambda one: key(one.get("metric", one)))


def same(a, b):
    """Sums of fractions may differ in their last digits."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    try:
        return a == b or math.isclose(float(a), float(b), rel_tol=1e-9)
    except (TypeError, ValueError):
        return False


def counted(door, asked, kind, query):
    """The answer, and what went through the door for it."""
    before = door.counts.copy()
    _, result = questions.ask(asked, kind, query)
    return in_order(result), [door.counts[name] - before[name] for name in ("leaves", "requests", "bytes")]


def compare(deployed, local, one, many):
    """Asks all questions of all three, prints the table, gives what is wrong."""
    print(f"| {'question':<18} | rows | leaves | requests |    bytes | requests alone | bytes alone |\n|---|---|---|---|---|---|---|")
    trace_id, wrong = questions.existing_trace_id(local), []
    for name, kind, query in questions.QUESTIONS:
        query = query.replace("TRACE_ID", trace_id)
        want = in_order(questions.ask(local, kind, query)[1])
        alone, (_, alone_requests, alone_bytes) = counted(deployed.door, one, kind, query)
        got, (leaves, requests, read) = counted(deployed.door, many, kind, query)
        rows = sum(len(row.get("values", [row])) if isinstance(row, dict) else 1 for row in got)
        print(f"| {name:<18} | {rows:>4} | {leaves:>6} | {requests:>8} | {read:>8} | {alone_requests:>14} | {alone_bytes:>11} |", flush=True)
        if not same(want, got) or not same(want, alone):
            wrong.append(f"{name}: {str(want)[:300]} locally, {str(got)[:300]} of leaves, {str(alone)[:300]} alone")
        # Aggregations and what is nowhere must look at all of the day; other questions end when they have enough.
        if leaves < LEAVES_MIN and (kind == "metric" or name == "needle-absent"):
            wrong.append(f"{name}: {leaves} leaves")
    return wrong


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--binaries", default="target/release")
    ap.add_argument("--frames", default=os.environ.get("LOGBARN_BENCH_FRAMES"))
    a = ap.parse_args()
    bodies = [("application/x-protobuf", body) for body in questions.frames(a.frames)] if a.frames else list(made_up())
    folder = tempfile.mkdtemp()
    try:
        with Deployed(a.binaries, questions.CONFIG + FAN_OUT) as deployed, questions.Server(f"{os.path.abspath(a.binaries)}/logbarn", folder) as server:
            deployed.hosts["many"] = deployed.create("many", "query-fn", LOGBARN_LEAVES="lambda:many")
            one, many, local = (Asked(url) for url in (deployed.url, deployed.front("many"), server.url))
            for body in bodies:
                one.push(*body)
                local.push(*body)
            wrong = compare(deployed, local, one, many)
            processes = {one["pid"] for one in deployed.invocations("many") if "logbarn_shard" in one["payload"]}
            print(f"{len(bodies)} pushes; {deployed.door.counts['leaves']} leaves were invoked, in {len(processes)} processes")
            wrong += [line for line in deployed.function_log("many") if "done by its root" in line]
    finally:
        shutil.rmtree(folder)
    sys.exit("not as it must be:\n" + "\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()
