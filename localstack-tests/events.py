#!/usr/bin/env python3
"""Every kind of event, delivered once, again, and to a function that is killed in the middle: what was sent is stored, nothing twice.

    events.py [--binaries target/release]

Run it with the Python of target/localstack. Where LocalStack has the service, the service itself delivers; what it delivered the
executor wrote down, and the same event is delivered again by hand. Then the function is killed (-9) while its write stands in the door,
once before the bucket has seen it and once behind. Prints a table and fails if a row is not as it must be: `stored` are distinct entries
that a query finds, `doubled` the copies that lie in the bucket beside them, `again` who delivered after the kill: the service or the
client, or we, where the emulated service does not. A second table does the same to merges that a schedule asks for.
"""
import argparse, base64, datetime, gzip, json, os, signal, subprocess, sys, threading, time, urllib.error, urllib.parse, urllib.request

from deploy import BUCKET, STORE, Deployed

SECONDS_MAX = 60
NOW_MS = int(time.time() * 1000)
DAY_MS = 86_400_000
FUNCTION = "ingest"


def wait_until(condition, seconds=SECONDS_MAX):
    deadline = time.time() + seconds
    while not (holds := condition()) and time.time() < deadline:
        time.sleep(0.2)
    return holds


class World:
    """The deployed functions, and the services of AWS that send to them."""

    def __init__(self, deployed):
        self.deployed, self.url, self.door = deployed, deployed.url, deployed.door
        self.arn = self.client("lambda").get_function(FunctionName=FUNCTION)["Configuration"]["FunctionArn"]

    def client(self, service):
        return self.deployed.client(service)

    def found(self, tag):
        """Lines of a tag, as a client of the query function finds them."""
        ask = dict(query=f'{{service_name=~".+"}} |= "{tag}"', limit="1000", start=str((NOW_MS - 30 * DAY_MS) * 10**6), end=str((NOW_MS + DAY_MS) * 10**6))
        with urllib.request.urlopen(f"{self.url}/loki/api/v1/query_range?{urllib.parse.urlencode(ask)}", timeout=60) as answer:
            streams = json.load(answer)["data"]["result"]
        return len([value for stream in streams for value in stream["values"]])

    def keys(self, part):
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [o["Key"] for page in pages for o in page.get("Contents", []) if part in o["Key"]]

    def rows(self):
        """Rows of all fresh segments, as their keys tell."""
        return sum(int(key.removesuffix(".seg").rsplit("-", 1)[1]) for key in self.keys("/l0/"))

    def invocations(self, since=0):
        return self.deployed.invocations(FUNCTION, since)

    def logbarn(self, *arguments):
        """What a command of the binary says of the bucket, as JSON."""
        command = [f"{self.deployed.binaries}/logbarn", *arguments, "--store", STORE, "--format", "json"]
        out = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, AWS_ALLOW_HTTP="true"))
        return [json.loads(line) for line in out.stdout.splitlines()] or sys.exit(out.stderr)

    def entries(self, day):
        return self.logbarn("stats", "--from", day, "--to", day)[0]

    def may_invoke(self, tag, service):
        self.client("lambda").add_permission(FunctionName=FUNCTION, StatementId=tag, Action="lambda:InvokeFunction", Principal=f"{service}.amazonaws.com")

    def invoke(self, payload):
        answer = self.client("lambda").invoke(FunctionName=FUNCTION, Payload=payload)
        text = answer["Payload"].read()
        assert "FunctionError" not in answer, text
        return json.loads(text)

    def post(self, path, body, headers):
        """As a client does: again until it is taken."""
        def taken():
            request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"} | headers)
            try:
                return urllib.request.urlopen(request, timeout=60).status in (200, 204)
            except (urllib.error.URLError, ConnectionError):
                return False
        assert wait_until(taken), path


def cloud_watch(tag):
    events = [{"id": str(n), "timestamp": NOW_MS, "message": f"{tag} {n}"} for n in range(3)]
    message = {"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "g", "logStream": "s", "logEvents": events}
    return gzip.compress(json.dumps(message).encode())


def push_body(tag, now_ms=NOW_MS):
    values = [[str(now_ms * 10**6 + n), f"{tag} {n}"] for n in range(4)]
    return json.dumps({"streams": [{"stream": {"app": "events"}, "values": values}]}).encode()


# Each sender takes the world and a tag, and gives the number of entries that it sent.

def push(world, tag):
    world.post("/loki/api/v1/push", push_body(tag), {})
    return 4


def firehose(world, tag):
    """As AWS documents it: LocalStack's own deliveries carry other times and no header."""
    records = [f"{tag} line".encode(), cloud_watch(tag)]
    body = {"requestId": tag, "timestamp": NOW_MS, "records": [{"data": base64.b64encode(data).decode()} for data in records]}
    world.post("/awsfirehose/api/v1/push", json.dumps(body).encode(), {"X-Amz-Firehose-Request-Id": tag})
    return 4


def transformation(world, tag):
    records = [{"recordId": str(n), "approximateArrivalTimestamp": NOW_MS, "data": base64.b64encode(f"{tag} {n}".encode()).decode()} for n in range(3)]
    event = {"invocationId": tag, "deliveryStreamArn": "arn:aws:firehose:us-east-1:000000000000:deliverystream/d", "region": "us-east-1", "records": records}
    world.client("lambda").invoke(FunctionName=FUNCTION, Payload=json.dumps(event))
    return 3


def cloud_watch_logs(world, tag):
    logs = world.client("logs")
    logs.create_log_group(logGroupName=tag)
    logs.create_log_stream(logGroupName=tag, logStreamName="s")
    world.may_invoke(tag, "logs")
    logs.put_subscription_filter(logGroupName=tag, filterName="f", filterPattern="", destinationArn=world.arn)
    logs.put_log_events(logGroupName=tag, logStreamName="s", logEvents=[{"timestamp": NOW_MS, "message": f"{tag} {n}"} for n in range(3)])
    return 3


def sqs(world, tag):
    """One message is poison: it goes to the failure destination, the rest of the batch is stored."""
    queues = world.client("sqs")
    url_of = lambda name: queues.create_queue(QueueName=name)["QueueUrl"]
    arn_of = lambda url: queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    failed, url = url_of(f"{tag}-failed"), url_of(tag)
    redrive = json.dumps({"deadLetterTargetArn": arn_of(failed), "maxReceiveCount": 3})
    for body in [f"{tag} 0", '{"streams":[{"stream":1}]}', f"{tag} 1"]:
        queues.send_message(QueueUrl=url, MessageBody=body)
    world.client("lambda").create_event_source_mapping(
        EventSourceArn=arn_of(url), FunctionName=FUNCTION, BatchSize=10, FunctionResponseTypes=["ReportBatchItemFailures"])
    # Shorter than the function's time-out, which AWS refuses to begin with.
    queues.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": redrive, "VisibilityTimeout": "3"})
    count = lambda: int(queues.get_queue_attributes(QueueUrl=failed, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]["ApproximateNumberOfMessages"])
    assert wait_until(lambda: count() == 1), "the poison is not handed over"
    return 2


def sns(world, tag):
    topic = world.client("sns").create_topic(Name=tag)["TopicArn"]
    world.may_invoke(tag, "sns")
    world.client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=world.arn)
    world.client("sns").publish(TopicArn=topic, Message=f"{tag} 0")
    return 1


def kinesis(world, tag):
    streams = world.client("kinesis")
    streams.create_stream(StreamName=tag, ShardCount=1)
    streams.get_waiter("stream_exists").wait(StreamName=tag, WaiterConfig={"Delay": 1})
    arn = streams.describe_stream(StreamName=tag)["StreamDescription"]["StreamARN"]
    for data in (f"{tag} line".encode(), cloud_watch(tag)):
        streams.put_record(StreamName=tag, PartitionKey="p", Data=data)
    world.client("lambda").create_event_source_mapping(
        EventSourceArn=arn, FunctionName=FUNCTION, StartingPosition="TRIM_HORIZON", BatchSize=10, FunctionResponseTypes=["ReportBatchItemFailures"])
    return 4


def s3(world, tag):
    world.client("s3").create_bucket(Bucket=tag)
    world.may_invoke(tag, "s3")
    target = {"LambdaFunctionArn": world.arn, "Events": ["s3:ObjectCreated:*"]}
    world.client("s3").put_bucket_notification_configuration(Bucket=tag, NotificationConfiguration={"LambdaFunctionConfigurations": [target]})
    lines = "".join(f"{tag} {n}\n" for n in range(5))
    world.client("s3").put_object(Bucket=tag, Key="app/a.log.gz", Body=gzip.compress(lines.encode(), mtime=0))
    return 5


# Who delivers again what a killed function had: LocalStack calls it once for Firehose and CloudWatch Logs, AWS does not.
KINDS = [("push to the Function URL", push, "client"), ("Firehose over HTTP", firehose, "client"), ("Firehose transformation", transformation, "by hand"),
         ("CloudWatch Logs", cloud_watch_logs, "by hand"), ("SQS, one poisoned", sqs, "service"), ("SNS", sns, "service"),
         ("Kinesis", kinesis, "service"), ("S3, gz", s3, "service")]
# When the function is killed: before a PUT of such a key, behind it, or never.
MOMENTS = {"": None, "before PUT": ("/l0/", True), "behind PUT": ("/l0/", False)}
MERGE_MOMENTS = {"": None, "behind data": ("/seg/", False), "before list": ("/manifest/", True), "behind list": ("/manifest/", False)}


def kill_holder(world, held, since):
    """Kills every process that has had an invocation since: the one whose write stands in the door is among them."""
    assert held.came.wait(SECONDS_MAX), "no write came to the door"
    taken = world.invocations(since)
    for pid in {one["pid"] for one in taken}:
        os.kill(pid, signal.SIGKILL)
    held.released.set()
    return len(taken)


def send_and_kill(world, send, moment):
    """Gives what was sent, and how many invocations there were until the kill."""
    since, sent = len(world.invocations()), []
    held = world.door.hold("PUT", *moment) if moment else None
    sender = threading.Thread(target=lambda: sent.append(send()))
    sender.start()
    taken = kill_holder(world, held, since) if moment else 0
    sender.join()
    return sent[0], since, since + taken


def event_row(world, kind, send, again, moment, tag):
    rows = world.rows()
    sent, since, until = send_and_kill(world, lambda: send(world, tag), MOMENTS[moment])
    came = again == "by hand" or wait_until(lambda: len(world.invocations(until)) > 0)
    if not moment or again != "by hand":
        wait_until(lambda: world.found(tag) == sent)
    for one in world.invocations(since):
        world.invoke(one["payload"])
    stored, delivered = world.found(tag), len(world.invocations(since))
    doubled = world.rows() - rows - stored
    print(f"| {kind:<24} | {moment:<10} | {delivered:>9} | {sent:>4} | {stored:>6} | {doubled:>7} | {again if moment else '':<7} |", flush=True)
    return came and (stored, doubled) == (sent, 0)


def merge_row(world, schedule, moment, days_ago):
    """A day that is over gets four segments; a schedule has the function ask itself to merge it."""
    tag, now_ms = f"merged{days_ago}x{NOW_MS}", NOW_MS - days_ago * DAY_MS
    day = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.timezone.utc).date().isoformat()
    for n in range(4):
        world.post("/loki/api/v1/push", push_body(f"{tag} {n}", now_ms), {})
    manifests = lambda: world.keys(f"/{day}/manifest/")
    _, since, _ = send_and_kill(world, lambda: world.invoke(schedule), MERGE_MOMENTS[moment])
    came = wait_until(manifests) and wait_until(lambda: world.entries(day)["fresh"]["objects"] == 0)
    # The schedule's event and every request to merge, delivered again.
    for one in world.invocations(since):
        world.invoke(one["payload"])
    stored, held = world.found(tag), world.entries(day)
    doubled = held["entries"] - stored
    print(f"| {moment:<11} | {16:>4} | {stored:>6} | {doubled:>7} | {held['merged']['objects']:>7} | {len(manifests()):>9} |", flush=True)
    return bool(came) and (stored, doubled) == (16, 0)


def pushed_until_due(world):
    """The function asks itself for a merge once a day has enough segments; gives what is wrong."""
    tag, manifests = f"due{NOW_MS}", lambda: len(world.keys("/manifest/"))
    before = manifests()
    for n in range(70):
        world.post("/loki/api/v1/push", push_body(f"{tag} {n}"), {})
    merged = wait_until(lambda: manifests() > before)
    print(f"pushed 70 batches: {world.found(tag)} of 280 entries found, {manifests() - before} merge(s) that the function asked itself for", flush=True)
    return [] if merged and world.found(tag) == 280 else ["pushed until due"]


def schedule_rule(world):
    """A rule that fires every minute, as EventBridge has none that is quicker; its event is awaited later."""
    events = world.client("events")
    events.put_rule(Name="look-after", ScheduleExpression="rate(1 minute)")
    world.may_invoke("look-after", "events")
    events.put_targets(Rule="look-after", Targets=[{"Id": "ingest", "Arn": world.arn}])


def fired(world):
    came = lambda: [one["payload"] for one in world.invocations() if '"Scheduled Event"' in one["payload"]]
    assert wait_until(came, 2 * SECONDS_MAX), "the rule does not fire"
    world.client("events").disable_rule(Name="look-after")
    return came()[0]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--binaries", default="target/release")
    ap.add_argument("--only", default="", help="kinds whose name has this part")
    a = ap.parse_args()
    wrong = []
    with Deployed(a.binaries) as deployed:
        world = World(deployed)
        schedule_rule(world)
        print(f"| {'kind':<24} | killed     | delivered | sent | stored | doubled | again   |\n|---|---|---|---|---|---|---|", flush=True)
        for number, (kind, send, again) in enumerate(KINDS):
            for moment in MOMENTS:
                tag = f"kind{number}x{moment.split(' ')[0]}x{NOW_MS}"
                if a.only in kind and not event_row(world, kind, send, again, moment, tag):
                    wrong.append(f"{kind} {moment}")
        schedule = fired(world)
        print("| merge killed | sent | stored | doubled | objects | manifests |\n|---|---|---|---|---|---|", flush=True)
        for days_ago, moment in enumerate(MERGE_MOMENTS, 2):
            if not merge_row(world, schedule, moment, days_ago):
                wrong.append(f"merge {moment}")
        wrong += pushed_until_due(world)
        verified = world.logbarn("verify")[-1]
        print(f"verify: {verified}")
        if any(verified[name] for name in ("bad", "losses", "missing", "unknown")):
            wrong.append("verify")
        if wrong:
            print(deployed.log(), file=sys.stderr)
    sys.exit(f"not as it must be: {wrong}" if wrong else 0)


if __name__ == "__main__":
    main()
