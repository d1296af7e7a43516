"""Emits every entry of a file as a log record of the OpenTelemetry SDK, exported over HTTP as protobuf.

In: the server's URL, the entries that `compare.py` wrote, `plain` or `gzip`. Out: pushes to `/otlp/v1/logs`. Fails when an export
fails: the batching processor would only log it.
"""

import json
import sys

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.resources import Resource

SEVERITY = {"info": SeverityNumber.INFO, "warn": SeverityNumber.WARN, "error": SeverityNumber.ERROR}
COMPRESSION = {"plain": Compression.NoCompression, "gzip": Compression.Gzip}
failed = []


class Exporter(OTLPLogExporter):
    def export(self, batch):
        result = super().export(batch)
        if result is not LogRecordExportResult.SUCCESS:
            failed.append(len(batch))
        return result


url, entries, how = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3]
names = {"service.name": f"otlp-{how}", "service.instance.id": "one", "service.version": "1.2.3", "k8s.pod.name": 'pod "ü"'}
resource = Resource.create(names)
provider = LoggerProvider(resource=resource)
exporter = Exporter(endpoint=url + "/otlp/v1/logs", compression=COMPRESSION[how], timeout=20)
provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_export_batch_size=64))
logger = provider.get_logger("barn.scope", "0.7")
for entry in entries:
    attributes = {"order.id": entry["order"], "count": 3, "ratio": 0.5, "done": True, "tags": ["a", "b"]}
    logger.emit(
        LogRecord(
            timestamp=int(entry["time_ns"]),
            severity_number=SEVERITY[entry["level"]],
            severity_text=entry["level"].upper(),
            body=entry["line"],
            attributes=attributes,
        )
    )
provider.force_flush()
provider.shutdown()
sys.exit(f"{sum(failed)} records were not accepted" if failed else 0)
