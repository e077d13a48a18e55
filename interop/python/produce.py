"""Queues jobs like an application: reads them from stdin as JSON, prints their ids as JSON."""

import json
import sys

from celery import chain, group

from tasks import app


def signature(call):
    if "group" in call:
        return group(signature(one) for one in call["group"])
    if "chain" in call:
        return chain(*(signature(one) for one in call["chain"]))
    task = app.tasks[call["task"]]
    return task.signature(call.get("args", ()), call.get("kwargs", {}), **call.get("options", {}))


def ids(result):
    return [one.id for one in result.results] if hasattr(result, "results") else result.id


if __name__ == "__main__":
    print(json.dumps([ids(signature(call).apply_async()) for call in json.load(sys.stdin)]))
