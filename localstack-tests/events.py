#!/usr/bin/env python3
"""Sends entries through real services of LocalStack to the deployed ingest function, and counts what the query function finds.

Run by deploy.py, which gives the addresses in the environment. Each service delivers to the function by itself: event source mappings,
subscriptions, notifications. Prints a table (sent, stored, doubled) and fails if a row is not as it must be. `stored` are distinct
entries that a query finds, `doubled` the copies that lie in the bucket beside them.
"""
import base64, gzip, json, os, sys, time, urllib.parse, urllib.request

import boto3

FRONT = os.environ["LOGBARN_FRONT_URL"]
FUNCTION = "ingest"
BUCKET = "logbarn"
SECONDS_MAX = 60
NOW_MS = int(time.time() * 1000)

aws = {name: boto3.client(name) for name in ("lambda", "sqs", "sns", "kinesis", "logs", "s3")}
ARN = aws["lambda"].get_function(FunctionName=FUNCTION)["Configuration"]["FunctionArn"]


def found(tag):
    """The lines of a tag, as a client of the query function finds them."""
    ask = dict(query=f'{{service_name=~".+"}} |= "{tag}"', start=str((NOW_MS - 3_600_000) * 10**6), limit="1000",
               end=str((NOW_MS + 3_600_000) * 10**6))
    with urllib.request.urlopen(f"{FRONT}/loki/api/v1/query_range?{urllib.parse.urlencode(ask)}", timeout=60) as answer:
        streams = json.load(answer)["data"]["result"]
    return [value[1] for stream in streams for value in stream["values"]]


def rows_in_bucket():
    """Rows of all fresh segments, as their keys tell."""
    pages = aws["s3"].get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    keys = [o["Key"] for page in pages for o in page.get("Contents", []) if "/l0/" in o["Key"]]
    return sum(int(key.removesuffix(".seg").rsplit("-", 1)[1]) for key in keys)


def wait_for(tag, entries):
    deadline = time.time() + SECONDS_MAX
    while time.time() < deadline and len(found(tag)) < entries:
        time.sleep(0.5)
    return len(found(tag))


def cloud_watch(tag):
    events = [{"id": str(n), "timestamp": NOW_MS, "message": f"{tag} {n}"} for n in range(3)]
    message = {"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "g", "logStream": "s", "logEvents": events}
    return gzip.compress(json.dumps(message).encode())


def by_invoke(tag):
    """Delivered twice by hand, where the emulated service cannot be made to."""
    event = {"awslogs": {"data": base64.b64encode(cloud_watch(tag)).decode()}}
    for _ in range(2):
        answer = aws["lambda"].invoke(FunctionName=FUNCTION, Payload=json.dumps(event))
        assert "FunctionError" not in answer, answer["Payload"].read()
    return 3


def sqs(tag):
    url = aws["sqs"].create_queue(QueueName=tag)["QueueUrl"]
    arn = aws["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    aws["lambda"].create_event_source_mapping(
        EventSourceArn=arn, FunctionName=FUNCTION, BatchSize=10, FunctionResponseTypes=["ReportBatchItemFailures"])
    poison = '{"streams":[{"stream":1}]}'
    for body in [f"{tag} 0", poison, f"{tag} 1"]:
        aws["sqs"].send_message(QueueUrl=url, MessageBody=body)
    return 2


def sns(tag):
    topic = aws["sns"].create_topic(Name=tag)["TopicArn"]
    aws["lambda"].add_permission(FunctionName=FUNCTION, StatementId=tag, Action="lambda:InvokeFunction", Principal="sns.amazonaws.com")
    aws["sns"].subscribe(TopicArn=topic, Protocol="lambda", Endpoint=ARN)
    for n in range(2):
        aws["sns"].publish(TopicArn=topic, Message=f"{tag} {n}")
    return 2


def kinesis(tag):
    aws["kinesis"].create_stream(StreamName=tag, ShardCount=1)
    aws["kinesis"].get_waiter("stream_exists").wait(StreamName=tag)
    stream = aws["kinesis"].describe_stream(StreamName=tag)["StreamDescription"]["StreamARN"]
    aws["lambda"].create_event_source_mapping(
        EventSourceArn=stream, FunctionName=FUNCTION, StartingPosition="TRIM_HORIZON", BatchSize=10,
        FunctionResponseTypes=["ReportBatchItemFailures"])
    aws["kinesis"].put_record(StreamName=tag, PartitionKey="p", Data=f"{tag} line".encode())
    aws["kinesis"].put_record(StreamName=tag, PartitionKey="p", Data=cloud_watch(tag))
    return 4


def cloud_watch_logs(tag):
    aws["logs"].create_log_group(logGroupName=tag)
    aws["logs"].create_log_stream(logGroupName=tag, logStreamName="s")
    aws["lambda"].add_permission(FunctionName=FUNCTION, StatementId=tag, Action="lambda:InvokeFunction", Principal="logs.amazonaws.com")
    aws["logs"].put_subscription_filter(logGroupName=tag, filterName="f", filterPattern="", destinationArn=ARN)
    events = [{"timestamp": NOW_MS, "message": f"{tag} {n}"} for n in range(3)]
    aws["logs"].put_log_events(logGroupName=tag, logStreamName="s", logEvents=events)
    return 3


def s3(tag):
    aws["s3"].create_bucket(Bucket=tag)
    aws["lambda"].add_permission(FunctionName=FUNCTION, StatementId=tag, Action="lambda:InvokeFunction", Principal="s3.amazonaws.com")
    target = {"LambdaFunctionArn": ARN, "Events": ["s3:ObjectCreated:*"]}
    aws["s3"].put_bucket_notification_configuration(
        Bucket=tag, NotificationConfiguration={"LambdaFunctionConfigurations": [target]})
    lines = "".join(f"{tag} {n}\n" for n in range(5))
    aws["s3"].put_object(Bucket=tag, Key="app/a.log.gz", Body=gzip.compress(lines.encode(), mtime=0))
    return 5


def merge(tag):
    """Pushes until the day is due; the function then asks itself for the merge. Gives the manifests that came."""
    def manifests():
        pages = aws["s3"].get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [o["Key"] for page in pages for o in page.get("Contents", []) if "/manifest/" in o["Key"]]
    before = len(manifests())
    for n in range(70):
        body = {"streams": [{"stream": {"app": tag}, "values": [[str(NOW_MS * 10**6 + n), f"{tag} {n}"]]}]}
        request = urllib.request.Request(f"{FRONT}/loki/api/v1/push", json.dumps(body).encode(), {"Content-Type": "application/json"})
        assert urllib.request.urlopen(request, timeout=60).status == 204
    deadline = time.time() + SECONDS_MAX
    while time.time() < deadline and len(manifests()) == before:
        time.sleep(0.5)
    return len(found(tag)), len(manifests()) - before


def main():
    kinds = [("CloudWatch event, twice", by_invoke), ("CloudWatch Logs", cloud_watch_logs), ("SQS, one poisoned", sqs), ("SNS", sns),
             ("Kinesis", kinesis), ("S3, gz", s3)]
    wrong = []
    print(f"| {'kind':<24} | sent | stored | doubled |\n|---|---|---|---|", flush=True)
    for number, (kind, send) in enumerate(kinds):
        tag, before = f"kind{number}x{NOW_MS}", rows_in_bucket()
        sent = send(tag)
        stored = wait_for(tag, sent)
        doubled = rows_in_bucket() - before - stored
        print(f"| {kind:<24} | {sent:>4} | {stored:>6} | {doubled:>7} |", flush=True)
        if (stored, doubled) != (sent, 0):
            wrong.append(kind)
    entries, manifests = merge(f"merged{NOW_MS}")
    print(f"pushed 70 batches: {entries} entries found, {manifests} merge(s) that the function asked itself for", flush=True)
    if entries != 70 or manifests < 1:
        wrong.append("merge")
    sys.exit(f"not as it must be: {wrong}" if wrong else 0)


main()
