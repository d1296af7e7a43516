#!/usr/bin/env python3
"""Writes seed corpora from the recorded queries, lines and pushes: corpus/<target>/seed-*. Standard library only."""

import hashlib
import json
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
RECORDED = HERE.parent / "testkit" / "conformance"
SCRIPTS = HERE.parent / "logql" / "tests" / "scripts"
LINES_PER_SEED = 3
BODY_BYTES_MAX = 4096


def write(target, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{hashlib.sha1(data).hexdigest()[:16]}").write_bytes(data)


def queries():
    for path in sorted((RECORDED / "cases").glob("*.json")):
        for case in json.loads(path.read_text()):
            query = (case.get("params") or {}).get("query")
            if query:
                yield query


def streams():
    for path in sorted((RECORDED / "data").glob("*.json"))[:2]:
        yield from json.loads(path.read_text())["streams"]


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def protobuf(stream):
    labels = "{" + ",".join(f"{name}={json.dumps(value)}" for name, value in stream["stream"].items()) + "}"
    body = field(1, labels.encode())
    for time, line, *metadata in stream["values"][:4]:
        seconds, nanos = divmod(int(time), 10**9)
        entry = field(1, b"\x08" + varint(seconds) + b"\x10" + varint(nanos)) + field(2, line.encode())
        for name, value in (metadata[0] if metadata else {}).items():
            entry += field(3, field(1, name.encode()) + field(2, value.encode()))
        body += field(2, entry)
    return field(1, body)


def main():
    lines = [value[1] for stream in streams() for value in stream["values"][:2]]
    for number, query in enumerate(sorted(set(queries()))):
        write("logql_roundtrip", query.encode())
        write("metric", query.encode() + b"\xff" + hashlib.sha512(query.encode()).digest() * 8)
        stages = re.search(r"\}(.*)", query, re.S)
        few = [lines[(number * LINES_PER_SEED + i) % len(lines)] for i in range(LINES_PER_SEED)]
        if stages:
            write("stages", b"\xff".join(text.encode() for text in [stages[1], *few]))
    for path in sorted((SCRIPTS / "template").rglob("*")):
        for case in path.read_text().splitlines() if path.is_file() else []:
            if " =>" in case and not case.startswith("#"):
                write("template", b"\xff".join([case.rsplit(" =>", 1)[0].encode(), b"GET /x 200", b"1m30s", b"[1,2]"]))
    for stream in list(streams())[:40]:
        small = {"stream": stream["stream"], "values": stream["values"][:3]}
        write("push_decode", b"\x00" + json.dumps({"streams": [small]}).encode()[:BODY_BYTES_MAX])
        write("push_decode", b"\x02" + protobuf(small))
    write("push_decode", b"\x01" + b'{"streams":[{"labels":"{app=\\"api\\"}","entries":[{"ts":"2026-11-20T10:00:00Z","line":"x"}]}]}')
    write("push_decode", b"\x06" + b'{a="b", c=\'d\', e=`f`}')
    otlp = (
        b'{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"api"}}]},"scopeLogs":'
        b'[{"scope":{"name":"lib"},"logRecords":[{"timeUnixNano":"5","severityNumber":17,"traceId":"0AFF","body":'
        b'{"kvlistValue":{"values":[{"key":"n","value":{"arrayValue":{"values":[{"intValue":"3"}]}}}]}}}]}]}]}'
    )
    write("push_decode", b"\x04" + otlp)
    for target in ["logql_roundtrip", "template", "stages", "metric"]:
        for length in [40, 80, 160, 320, 640]:
            for turn in range(8):
                choices = b"".join(hashlib.sha512(f"{target} {turn} {i}".encode()).digest() for i in range(length // 64 + 1))
                write(target, b"\xfe" + choices[:length])
    for mode in range(4):
        for turn in range(16):
            write("segment_open", bytes([mode]) + hashlib.sha512(f"{mode} {turn}".encode()).digest() * 6)
    for path in sorted((HERE.parent / "segment" / "tests").rglob("*.seg")):
        write("segment_open", b"\x00" + path.read_bytes())


main()
