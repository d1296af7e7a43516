"""Logs every entry of a file with Python's `logging` and python-logging-loki.

In: the server's URL, the entries that `compare.py` wrote, the emitter's version: 0 (labels as text, RFC 3339 times) or 1.
Out: one push an entry. Fails when a push is refused: the handler itself would only print it.
"""

import json
import logging
import sys

import logging_loki

PATHS = {"0": "/api/prom/push", "1": "/loki/api/v1/push"}


class Handler(logging_loki.LokiHandler):
    def handleError(self, record):
        raise


url, entries, version = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3]
handler = Handler(url + PATHS[version], tags={"client": f"python-logging-loki-{version}", "place": 'barn "3"'}, version=version)
logger = logging.getLogger("barn")
logger.setLevel(logging.DEBUG)
logger.addHandler(handler)
for entry in entries:
    # Not as a format: a line may have a percent sign.
    logger.log(logging.getLevelName(entry["level"].upper()), "%s", entry["line"], extra={"tags": {"shelf": entry["shelf"]}})
