#!/usr/bin/env python3
"""Figures on a bench set: pushes its frames into a fresh `logbarn serve`, then asks the bench questions.

    questions.py --frames FILE [--binary target/release/logbarn] [--runs 5] [--keep DIR]

FILE holds frames: a 4-byte little-endian length, then that many bytes of a snappy-compressed protobuf push request.
Prints ingest speed per core (the server process's own CPU seconds), stored bytes, peak memory, and for each question the
median and best time, the bytes read from the store and the requests made. zstd's own speed is measured in the same run
(when the `zstd` command is there) as the yardstick. Needs only Python 3's standard library and Linux's /proc.
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


def frames(path):
    with open(path, "rb") as f:
        while head := f.read(4):
            yield f.read(struct.unpack("<I", head)[0])


def raw_length(frame):
    """The uncompressed length, which a snappy block begins with."""
    value = shift = 0
    for byte in frame:
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
        shift += 7


class Server:
    def __init__(self, binary, folder):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{s.getsockname()[1]}"
        config = os.path.join(folder, "config.yaml")
        with open(config, "w") as f:
            f.write("auth_enabled: false\nlimits_config: {reject_old_samples: false, ingestion_rate_mb: 100000, ingestion_burst_size_mb: 100000,"
                    " per_stream_rate_limit: 100GB, per_stream_rate_limit_burst: 100GB, max_global_streams_per_user: 0, max_query_series: 100000}\n")
        self.process = subprocess.Popen([binary, "serve", "--listen", self.url[7:], "--store", f"file://{folder}/data", "--config", config],
                                        cwd=folder, stdout=open(os.path.join(folder, "log"), "w"), stderr=subprocess.STDOUT)
        for _ in range(200):
            try:
                self.get("/ready")
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("the server did not start: " + open(os.path.join(folder, "log")).read())

    def get(self, path, params=None, headers=None):
        query = "?" + urllib.parse.urlencode(params) if params else ""
        with urllib.request.urlopen(urllib.request.Request(self.url + path + query, headers=headers or {}), timeout=120) as r:
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


def zstd_yardstick(path):
    if not shutil.which("zstd"):
        return "zstd yardstick: the zstd command is not there"
    out = subprocess.run(["zstd", "-b1", "-i2", path], capture_output=True, text=True)
    speeds = re.findall(r"([\d.]+) MB/s, *([\d.]+) MB/s", out.stdout + out.stderr)
    return f"zstd yardstick: level 1 compresses this file at {speeds[-1][0]} MB/s and decompresses it at {speeds[-1][1]} MB/s" if speeds else "zstd yardstick: no figure"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--frames", default=os.environ.get("LOGBARN_BENCH_FRAMES", "../shared/bench/frames-64m.bin"))
    ap.add_argument("--binary", default="target/release/logbarn")
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--raw-mb", type=float, default=71.9, help="bytes of lines, labels and metadata in the set, for the ratios")
    ap.add_argument("--keep", help="use this folder and leave it there")
    a = ap.parse_args()
    if not os.path.exists(a.frames):
        sys.exit(f"no bench set at {a.frames}: give --frames FILE")
    folder = a.keep or tempfile.mkdtemp()
    os.makedirs(folder, exist_ok=True)
    server = Server(os.path.abspath(a.binary), os.path.abspath(folder))
    try:
        report(a, server, folder)
    finally:
        server.process.terminate()
        server.process.wait()
        if not a.keep:
            shutil.rmtree(folder)


def report(a, server, folder):
    idle_mb, cpu, began = server.peak_mb(), server.cpu_seconds(), time.perf_counter()
    raw = count = 0
    for frame in frames(a.frames):
        raw += raw_length(frame)
        count += 1
        server.push(frame)
    wall, cpu = time.perf_counter() - began, server.cpu_seconds() - cpu
    stored = sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(folder + "/data") for f in fs)
    print(zstd_yardstick(a.frames))
    print(f"ingest: {count} pushes, {a.raw_mb} MB raw in {raw / 1e6:.1f} MB of push bodies, {cpu:.2f} CPU s, {wall:.2f} s wall: {a.raw_mb / cpu:.0f} MB/s raw a core")
    print(f"stored: {stored / 1e6:.2f} MB, {stored / 1e4 / a.raw_mb:.1f} % of raw; memory: {idle_mb:.0f} MB idle, {server.peak_mb():.0f} MB at peak of ingest")
    trace_id = existing_trace_id(server)
    print(f"\n{'question':18} {'first ms':>9} {'median ms':>9} {'best ms':>9} {'read kB':>9} {'requests':>8} {'rows':>6}")
    for name, kind, query in QUESTIONS:
        query = query.replace("TRACE_ID", trace_id)
        before = server.store_counters()
        first, result = ask(server, kind, query)
        after = server.store_counters()
        times = [ask(server, kind, query)[0] for _ in range(a.runs)]
        rows = sum(len(r.get("values", [r])) for r in result)
        print(f"{name:18} {first:9.1f} {statistics.median(times):9.1f} {min(times):9.1f} {(after[1] - before[1]) / 1e3:9.0f} {after[0] - before[0]:8.0f} {rows:6}")
    print(f"memory: {server.peak_mb():.0f} MB at peak of all")


main()
