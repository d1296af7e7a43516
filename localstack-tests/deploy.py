#!/usr/bin/env python3
"""Deploys both functions to a LocalStack of this machine, shows them under one address, and runs a command against it.

    deploy.py --binaries target/release COMMAND...

Run it with the Python of target/localstack (.ci/localstack installs it). Starts LocalStack with the executor that runs functions
as processes, makes a bucket, creates `ingest` and `query` with Function URLs, and serves a front door on a free port that sends
pushes to the one and questions to the other. COMMAND finds its address in LOGBARN_FRONT_URL, LocalStack's in AWS_ENDPOINT_URL.
The other scripts beside this one use `Deployed` or `LocalStack` themselves.
"""
import argparse, http.server, io, json, os, shutil, socket, subprocess, sys, tempfile, threading, time, urllib.error, urllib.parse, urllib.request, zipfile

import boto3

from door import Door

HERE = os.path.dirname(os.path.abspath(__file__))
BUCKET = "logbarn"
STORE = f"s3://{BUCKET}/logs"
START_SECONDS_MAX = 60
CONFIG = "shared/testkit/conformance/server.yaml"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_localstack(folder, port):
    environment = dict(
        os.environ,
        GATEWAY_LISTEN=f"[::ffff:127.0.0.1]:{port}",
        LAMBDA_RUNTIME_EXECUTOR="process",
        LAMBDA_RETRY_BASE_DELAY="1",
        LS_PROCESS_EXECUTOR_JOURNAL=os.path.join(folder, "journal"),
        PYTHONPATH=os.path.join(HERE, "executor"),
        DISABLE_EVENTS="1",
        SKIP_SSL_CERT_DOWNLOAD="1",
        FILESYSTEM_ROOT=folder,
        HOME=folder,
    )
    log = open(os.path.join(folder, "localstack.log"), "w")
    process = subprocess.Popen([sys.executable, "-m", "localstack.runtime.main"], env=environment, stdout=log, stderr=log)
    deadline = time.time() + START_SECONDS_MAX
    while time.time() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_localstack/health", timeout=1)
            return process
        except OSError:
            time.sleep(0.2)
    process.kill()
    sys.exit("LocalStack did not start: " + open(log.name).read()[-2000:])


def zipped(binary):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        info = zipfile.ZipInfo("bootstrap")
        info.external_attr = 0o755 << 16
        z.writestr(info, open(binary, "rb").read(), zipfile.ZIP_DEFLATED, 1)
    return out.getvalue()


class LocalStack:
    """A LocalStack of its own, as clients and the executor's journal show it. `with` ends it with its state."""

    def __init__(self, binaries):
        self.binaries, self.aws, self.folder, port = binaries, {}, tempfile.mkdtemp(), free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1", AWS_ENDPOINT_URL=self.endpoint)
        self.localstack = start_localstack(self.folder, port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.localstack.terminate()
        self.localstack.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self, service):
        if service not in self.aws:
            self.aws[service] = boto3.client(service)
        return self.aws[service]

    def invocations(self, function, since=0):
        """What a function was invoked with, as the executor wrote it down: the pids and the payloads."""
        if not os.path.exists(os.path.join(self.folder, "journal")):
            return []
        with open(os.path.join(self.folder, "journal")) as journal:
            all = [json.loads(line) for line in journal if line.endswith("\n")]
        return [one for one in all if one["function"] == function][since:]

    def function_log(self, function):
        """The lines of a function, as CloudWatch Logs keeps them."""
        pages = self.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
        return [line for page in pages for event in page["events"] for line in event["message"].splitlines()]

    def log(self):
        return open(os.path.join(self.folder, "localstack.log")).read()[-3000:]


class Deployed(LocalStack):
    """Both functions behind a door and a front."""

    def __init__(self, binaries="target/release", config=None):
        super().__init__(binaries)
        self.config, self.door, self.hosts = config or open(CONFIG).read(), Door(self.endpoint), {}

    def __enter__(self):
        try:
            self.client("s3").create_bucket(Bucket=BUCKET)
            for name in ("ingest", "query"):
                self.hosts[name] = self.create(name, f"{name}-fn")
            self.url = self.front("query")
            print(f"deployed: {', '.join(self.hosts)} behind {self.url}", flush=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def create(self, name, binary, **environment):
        """Creates one function with a URL; gives the host name that the URL has."""
        environment = dict(LOGBARN_STORE=STORE, LOGBARN_CONFIG=self.config, AWS_ENDPOINT_URL=self.door.url, AWS_ALLOW_HTTP="true") | environment
        functions = self.client("lambda")
        functions.create_function(
            FunctionName=name, Runtime="provided.al2023", Handler="bootstrap", Role="arn:aws:iam::000000000000:role/logbarn",
            Code=dict(ZipFile=zipped(f"{self.binaries}/{binary}")), Timeout=60, MemorySize=512, Environment=dict(Variables=environment))
        functions.get_waiter("function_active_v2").wait(FunctionName=name)
        return urllib.parse.urlsplit(functions.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]).hostname

    def front(self, query):
        """An address before the ingest function and this query function."""
        hosts = {"ingest": self.hosts["ingest"], "query": self.hosts[query]}
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("ItsFront", (Front,), {"endpoint": self.endpoint, "hosts": hosts}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"


class Front(http.server.BaseHTTPRequestHandler):
    """Pushes go to the ingest function, everything else to the query function."""
    protocol_version = "HTTP/1.1"
    endpoint = hosts = None
    PASSED = ("content-type", "content-encoding", "accept-encoding", "x-scope-orgid", "x-loki-response-encoding-flags", "x-query-tags", "x-logbarn-batch",
              "x-amz-firehose-request-id")

    def log_message(self, *_):
        pass

    def answer(self):
        is_push = self.command == "POST" and ("/push" in self.path or self.path.startswith("/otlp/"))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if self.command == "POST" else None
        headers = {k: v for k, v in self.headers.items() if k.lower() in self.PASSED}
        headers["Host"] = self.hosts["ingest" if is_push else "query"]
        request = urllib.request.Request(self.endpoint + self.path, body, headers, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=60) as r:
                status, got, text = r.status, r.headers, r.read()
        except urllib.error.HTTPError as e:
            status, got, text = e.code, e.headers, e.read()
        self.send_response(status)
        for name in ("Content-Type", "Content-Encoding"):
            if got.get(name):
                self.send_header(name, got[name])
        if status != 204:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if status != 204:
            self.wfile.write(text)

    do_GET = do_POST = answer


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--binaries", default="target/release")
    ap.add_argument("--config", default=CONFIG)
    ap.add_argument("command", nargs=argparse.REMAINDER)
    a = ap.parse_args()
    with Deployed(a.binaries, open(a.config).read()) as deployed:
        os.environ["LOGBARN_FRONT_URL"] = deployed.url
        status = subprocess.call([c.replace("FRONT_URL", deployed.url) for c in a.command])
        if status:
            print(deployed.log(), file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
