#!/usr/bin/env python3
"""Figures on a bench set: pushes its frames into a fresh `logbarn serve`, then asks the bench questions, fresh and merged.

    questions.py --frames FILE [--text FILE] [--binary target/release/logbarn] [--runs 5] [--keep DIR]

FILE holds frames: a 4-byte little-endian length, then that many bytes of a snappy-compressed protobuf push request.
`cargo run --release --example frames -- repeat 10 FILE OUT` makes a set of ten times the size, `… -- text FILE OUT` its text.

Ingest is measured twice, as the server process's own CPU seconds: with merging as it is by default, and without, which gives the
fresh state. Then a restart merges all of it. In both states each question is asked of a server that was just started (time, bytes
and requests when nothing is cached), then again and again (median, best).

The floor of a question is the time that zstd alone needs for as many stored bytes as the question read: measured in the same run by
the `zstd` command on the set's text, in blocks of 1 MB, at the level of the state (1 fresh, 6 merged).
Needs only Python 3's standard library and Linux's /proc.
"""
import argparse, json, os, re, shutil, socket, statistics, struct, subprocess, sys, tempfile, time, urllib.parse, urllib.request

DAY_START, DAY_END = 1704067200, 1704153600
QUESTIONS = [
    ("needle-absent", "log", '{cluster=~".+"} |= "zzzzneverzzzz"'),
    ("needle-meta", "log", '{cluster=~".+"} | trace_id="TRACE_ID"'),
    ("tail-100", "log", '{service_name="nginx"}'),
    ("filter-common", "log", '{service_name=~"loki|tempo|mimir"} |= "error"'),
    ("regex-rare", "log", '{cluster=~".+"} |~ "(?i)panic|segfault|corrupt(ed)? page"'),
    ("volume", "metric", 'sum by (service_name) (count_over_time({cluster=~".+"}[5m]))'),
    ("volume-level", "metric", 'sum by (detected_level) (count_over_time({cluster=~".+"}[5m]))'),
    ("filter-metric", "metric", 'sum by (cluster) (rate({cluster=~".+"} |= "error" [5m]))'),
    ("json-group", "metric", 'sum by (status) (count_over_time({service_name="web-server"} | json | __error__="" [5m]))'),
    ("logfmt-quantile", "metric", 'quantile_over_time(0.95, {service_name="loki"} | logfmt | unwrap duration(duration) | __error__="" [5m]) by (cluster)'),
    ("bytes-rate", "metric", 'sum(bytes_rate({cluster=~".+"}[5m]))'),
    ("index-stats", "stats", '{cluster=~".+"}'),
    ("index-volume", "volume", '{cluster=~".+"}'),
    ("index-volume-range", "volume_range", '{cluster=~".+"}'),
]
CONFIG = """auth_enabled: false
limits_config: {reject_old_samples: false, ingestion_rate_mb: 100000, ingestion_burst_size_mb: 100000, per_stream_rate_limit: 100GB,
  per_stream_rate_limit_burst: 100GB, max_global_streams_per_user: 0, max_query_series: 100000}
logbarn: """


def frames(path):
    with open(path, "rb") as f:
        while head := f.read(4):
            yield f.read(struct.unpack("<I", head)[0])


class Server:
    """`logbarn serve` on a folder, with some settings of its own."""

    def __init__(self, binary, folder, settings="{merge: false}"):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{s.getsockname()[1]}"
        config = os.path.join(folder, "config.yaml")
        with open(config, "w") as f:
            f.write(CONFIG + settings + "\n")
        self.process = subprocess.Popen([binary, "serve", "--listen", self.url[7:], "--store", f"file://{folder}/data", "--config", config, "--logs", "none"],
                                        cwd=folder, stdout=open(os.path.join(folder, "log"), "w"), stderr=subprocess.STDOUT)
        for _ in range(2000):
            try:
                self.get("/ready")
                return
            except OSError:
                time.sleep(0.005)
        sys.exit("the server did not start: " + open(os.path.join(folder, "log")).read())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def get(self, path, params=None):
        query = "?" + urllib.parse.urlencode(params) if params else ""
        with urllib.request.urlopen(self.url + path + query, timeout=600) as r:
            return r.read()

    def push(self, frame):
        request = urllib.request.Request(self.url + "/loki/api/v1/push", frame, {"Content-Type": "application/x-protobuf"})
        with urllib.request.urlopen(request, timeout=120) as r:
            assert r.status == 204

    def cpu_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self):
        return int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{self.process.pid}/status").read())[1]) / 1024

    def store_counters(self):
        requests = bytes_read = 0.0
        for line in self.get("/metrics").decode().splitlines():
            if line.startswith("logbarn_store_requests_total"):
                requests += float(line.rsplit(" ", 1)[1])
            elif line.startswith("logbarn_store_read_bytes_total"):
                bytes_read += float(line.rsplit(" ", 1)[1])
        return requests, bytes_read

    def settle(self):
        """Waits until nothing is merged any more: no CPU and no request for a second."""
        before = None
        while before != (before := (self.cpu_seconds(), self.store_counters()[0])):
            time.sleep(1)


def ask(server, kind, query):
    params = dict(query=query, start=f"{DAY_START}000000000", end=f"{DAY_END}000000000")
    params |= dict(limit="100", direction="backward") if kind == "log" else dict(step="300")
    path = "/loki/api/v1/query_range" if kind in ("log", "metric") else f"/loki/api/v1/index/{kind}"
    began = time.perf_counter()
    body = server.get(path, params)
    took_ms, answer = (time.perf_counter() - began) * 1000, json.loads(body)
    return took_ms, [{"values": [answer]}] if kind == "stats" else answer["data"]["result"]


def existing_trace_id(server):
    params = dict(query='{cluster=~".+"} | trace_id!=""', start=f"{DAY_START}000000000", end=f"{DAY_END}000000000", limit="1")
    result = json.loads(server.get("/loki/api/v1/query_range", params))["data"]["result"]
    return result[0]["stream"]["trace_id"]


def zstd_speed(text, level):
    """How fast zstd compresses the set's text and decompresses it, in MB of text a second, and its ratio."""
    out = subprocess.run(["zstd", f"-b{level}", "-i2", "-B1MB", text], capture_output=True, text=True)
    ratio, compress, decompress = re.findall(r"x?([\d.]+)\)?, *([\d.]+) MB/s, *([\d.]+) MB/s", out.stdout + out.stderr)[-1]
    return float(ratio), float(compress), float(decompress)


def stored_mb(folder, *parts):
    paths = (os.path.join(d, f) for d, _, fs in os.walk(folder + "/data") for f in fs)
    return sum(os.path.getsize(p) for p in paths if not parts or any(f"/{part}/" in p for part in parts)) / 1e6


def ingest(server, a, zstd, how):
    idle_mb, cpu, began, count = server.peak_mb(), server.cpu_seconds(), time.perf_counter(), 0
    for frame in frames(a.frames):
        server.push(frame)
        count += 1
    wall = time.perf_counter() - began
    server.settle()
    cpu = server.cpu_seconds() - cpu
    print(f"ingest, {how}: {count} pushes, {cpu:.2f} CPU s, {wall:.2f} s until the last was acknowledged: {a.raw_mb / cpu:.0f} MB/s raw a core,"
          f" {a.raw_mb / cpu / zstd[1]:.2f} of what zstd -1 alone does with the text;"
          f" memory {idle_mb:.0f} MB idle, {server.peak_mb():.0f} MB at peak")


def table(a, binary, folder, state, zstd):
    ratio, _, decompress = zstd
    print(f"\n{state:18} {'cold ms':>9} {'read kB':>9} {'requests':>8} {'floor ms':>9} {'cold/floor':>10} {'warm ms':>9} {'best ms':>9} {'rows':>6}")
    peak, trace_id = 0, None
    for name, kind, query in QUESTIONS:
        if "TRACE_ID" in query:
            with Server(binary, folder) as server:
                query = query.replace("TRACE_ID", existing_trace_id(server))
        with Server(binary, folder) as server:
            before = server.store_counters()
            first, result = ask(server, kind, query)
            after = server.store_counters()
            times = [ask(server, kind, query)[0] for _ in range(a.runs)]
            peak = max(peak, server.peak_mb())
        rows = sum(len(r.get("values", [r])) for r in result)
        read = after[1] - before[1]
        floor = read / 1e3 * ratio / decompress
        print(f"{name:18} {first:9.1f} {read / 1e3:9.0f} {after[0] - before[0]:8.0f} {floor:9.2f} {first / floor if floor else 0:10.1f}"
              f" {statistics.median(times):9.1f} {min(times):9.1f} {rows:6}")
    print(f"memory: {peak:.0f} MB at peak of a question")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--frames", default=os.environ.get("LOGBARN_BENCH_FRAMES", "../shared/bench/frames-64m.bin"))
    ap.add_argument("--text", help="the set as text; made with the example `frames` if it is not given")
    ap.add_argument("--binary", default="target/release/logbarn")
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--raw-mb", type=float, default=71.9, help="bytes of lines, labels and metadata in the set, for the ratios")
    ap.add_argument("--keep", help="use this folder and leave it there")
    a = ap.parse_args()
    if not os.path.exists(a.frames):
        sys.exit(f"no bench set at {a.frames}: give --frames FILE")
    folder = os.path.abspath(a.keep or tempfile.mkdtemp())
    os.makedirs(folder, exist_ok=True)
    try:
        report(a, os.path.abspath(a.binary), folder)
    finally:
        if not a.keep:
            shutil.rmtree(folder)


def report(a, binary, folder):
    text = a.text or os.path.join(folder, "text")
    if not a.text:
        subprocess.run(["cargo", "run", "--release", "--quiet", "--example", "frames", "-p", "loki-api", "--", "text", a.frames, text], check=True)
    fresh_zstd, merged_zstd = zstd_speed(text, 1), zstd_speed(text, 6)
    for level, (ratio, compress, decompress) in (1, fresh_zstd), (6, merged_zstd):
        print(f"zstd -{level} on the text: {compress:.0f} MB/s compressing, {decompress:.0f} MB/s decompressing, ratio {ratio:.2f}")
    with Server(binary, folder, "{}") as server:
        ingest(server, a, fresh_zstd, "merging as by default")
    shutil.rmtree(folder + "/data")
    with Server(binary, folder) as server:
        ingest(server, a, fresh_zstd, "without merging")
    print(f"stored fresh: {stored_mb(folder):.2f} MB, {100 * stored_mb(folder) / a.raw_mb:.1f} % of raw")
    table(a, binary, folder, "fresh", fresh_zstd)
    with Server(binary, folder, "{merge_objects_min: 1}") as server:
        cpu = server.cpu_seconds()
        ask(server, "stats", '{cluster=~".+"}')
        server.settle()
        merged = stored_mb(folder, "seg", "manifest")
        print(f"\nmerged in {server.cpu_seconds() - cpu:.2f} CPU s: {merged:.2f} MB, {100 * merged / a.raw_mb:.1f} % of raw; memory {server.peak_mb():.0f} MB at peak")
    table(a, binary, folder, "merged", merged_zstd)


if __name__ == "__main__":
    main()
