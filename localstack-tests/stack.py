#!/usr/bin/env python3
"""Deploys infra/aws/template.yaml itself by CloudFormation, and uses the functions, queues and log groups that its outputs name.

    stack.py [--binaries target/release]

Run it with the Python of target/localstack. The template is packaged as `sam package` does (zips in a bucket) and else taken as it is.
"""
import argparse, hashlib, json, os, sys, time, urllib.error, urllib.parse, urllib.request

from deploy import LocalStack, zipped
from events import wait_until

TEMPLATE = "infra/aws/template.yaml"
TOKEN = "between us"
STACK, LOG_GROUP, CODE = "logbarn", "/an/application", "code"
BODY_BYTES_MAX = 6 << 20
PARAMETERS = dict(
    BearerTokens=f"[{{name: test, sha256: {hashlib.sha256(TOKEN.encode()).hexdigest()}}}]", QueueInFront="true", LogGroupName=LOG_GROUP,
    LookAfterSchedule="cron(20 2 * * ? *)", AlarmEmail="a@example.com", Config="{auth_enabled: false, limits_config: {max_line_size: 2MB, max_entries_limit_per_query: 20000}}",
    Architecture="x86_64" if os.uname().machine == "x86_64" else "arm64")


def packaged(world):
    world.client("s3").create_bucket(Bucket=CODE)
    text = open(TEMPLATE).read()
    for name in ("ingest-fn", "query-fn"):
        world.client("s3").put_object(Bucket=CODE, Key=name, Body=zipped(f"{world.binaries}/{name}"))
        text = text.replace(f"../../target/lambda/{name}.zip", f"s3://{CODE}/{name}")
    return text


def deployed(world):
    """Creates the stack; gives its outputs."""
    world.client("logs").create_log_group(logGroupName=LOG_GROUP)
    world.client("logs").create_log_stream(logGroupName=LOG_GROUP, logStreamName="s")
    stacks = world.client("cloudformation")
    parameters = [dict(ParameterKey=name, ParameterValue=value) for name, value in PARAMETERS.items()]
    stacks.create_stack(StackName=STACK, TemplateBody=packaged(world), Parameters=parameters, Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"])
    try:
        stacks.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    except Exception:
        events = stacks.describe_stack_events(StackName=STACK)["StackEvents"]
        sys.exit("\n".join(f"{e['LogicalResourceId']}: {e['ResourceStatus']} {e.get('ResourceStatusReason', '')}" for e in events))
    resources = stacks.describe_stack_resources(StackName=STACK)["StackResources"]
    print(f"{len(resources)} resources, all {({r['ResourceStatus'] for r in resources})}: {', '.join(r['LogicalResourceId'] for r in resources)}")
    return {o["OutputKey"]: o["OutputValue"] for o in stacks.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]}


def request(world, url, body=None, token=TOKEN):
    """A request to a Function URL of LocalStack, which knows it by its host. Gives the status and the text."""
    parts = urllib.parse.urlsplit(url)
    headers = {"Host": parts.hostname, "Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    ask = urllib.request.Request(f"{world.endpoint}{parts.path}{'?' + parts.query if parts.query else ''}", body, headers)
    try:
        with urllib.request.urlopen(ask, timeout=120) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def push_body(tag, count, padding=""):
    now_ns = time.time_ns()
    values = [[str(now_ns + n), f"{tag} {n} {padding}"] for n in range(count)]
    return json.dumps({"streams": [{"stream": {"app": "stack"}, "values": values}]}).encode()


def lines(world, outputs, tag, limit=100):
    ask = urllib.parse.urlencode(dict(query=f'{{service_name=~".+"}} |= "{tag}"', limit=str(limit), since="1h"))
    status, text = request(world, f"{outputs['DatasourceUrl']}loki/api/v1/query_range?{ask}")
    assert status == 200, text[:300]
    return [value[1] for stream in json.loads(text)["data"]["result"] for value in stream["values"]]


def opened(world):
    """Whether a function's policy lets everybody call its URL, for which AWS asks for two permissions."""
    def allowed(function):
        policy = json.loads(world.client("lambda").get_policy(FunctionName=f"{STACK}-{function}")["Policy"])
        return {s["Action"] for s in policy["Statement"] if s["Principal"] == "*"} == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    return allowed


def check(name, holds):
    print(f"{'ok  ' if holds else 'FAIL'} {name}", flush=True)
    return [] if holds else [name]


def checks(world, outputs):
    push = f"{outputs['PushUrl']}loki/api/v1/push"
    found = lambda tag, count: wait_until(lambda: len(lines(world, outputs, tag)) == count)
    s3, bucket = world.client("s3"), outputs["BucketName"]
    yield from check("nobody pushes without a token", request(world, push, push_body("none", 1), None)[0] == 401)
    yield from check("nobody reads without a token", request(world, f"{outputs['DatasourceUrl']}loki/api/v1/labels", token="other")[0] == 401)
    yield from check("a push through PushUrl", request(world, push, push_body("pushed", 3)) == (204, b""))
    yield from check("is read through DatasourceUrl", found("pushed", 3))
    world.client("logs").put_log_events(logGroupName=LOG_GROUP, logStreamName="s", logEvents=[{"timestamp": int(time.time() * 1000), "message": "watched"}])
    yield from check("each URL is open to callers who sign in themselves", all(map(opened(world), ("ingest", "query"))))
    yield from check("a body over 6 MB is refused before the function", request(world, push, push_body("large", 1, "x" * BODY_BYTES_MAX))[0] == 413)
    # Like any client they come again where they come faster than the tenant's rate allows: 429.
    pushed = lambda n: request(world, push, push_body(f"wide{n}", 1, "x" * (1 << 20)))[0] == 204
    yield from check("eight pushes of 1 MB", all(wait_until(lambda: pushed(n)) for n in range(8)))
    yield from check("an answer over 6 MB comes as a stream", wait_until(lambda: sum(map(len, lines(world, outputs, "wide"))) > 8 << 20))
    yield from check("the subscription of LogGroupName", found("watched", 1))
    world.client("sqs").send_message(QueueUrl=outputs["FrontQueueUrl"], MessageBody="queued")
    yield from check("the queue in front", found("queued", 1))
    world.client("lambda").invoke(FunctionName=outputs["IngestFunctionArn"], InvocationType="Event", Payload=b'{"unknown": 1}')
    failed = lambda: world.client("sqs").receive_message(QueueUrl=outputs["NotStoredQueueUrl"]).get("Messages")
    yield from check("an event that is none comes to NotStored", wait_until(failed))
    target = world.client("events").list_targets_by_rule(Rule=next(r["Name"] for r in world.client("events").list_rules()["Rules"]))["Targets"][0]
    yield from check("the schedule is for ingest", target["Arn"] == outputs["IngestFunctionArn"])
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    yield from check("the bucket is encrypted", encryption["SSEAlgorithm"] == "AES256")
    yield from check("and closed", all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()))
    yield from check("everything lies below Prefix", {o["Key"].split("/")[0] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]} == {"logs"})


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--binaries", default="target/release")
    a = ap.parse_args()
    with LocalStack(a.binaries) as world:
        wrong = list(checks(world, deployed(world)))
        if wrong:
            print(world.log(), file=sys.stderr)
    sys.exit(f"not as it must be: {wrong}" if wrong else 0)


if __name__ == "__main__":
    main()
