"""Queues jobs like an application on RQ: reads them from stdin as JSON, prints their ids as JSON."""

import datetime
import json
import logging
import os
import sys

from redis import Redis
from rq import Queue, Retry
from rq.version import VERSION

import rq_tasks

# A cron scheduler logs to stdout.
logging.disable()
connection = Redis.from_url(os.environ["JOBS_URL"])


def options(call, jobs):
    found = dict(call.get("options", {}))
    if "after" in call:
        found["depends_on"] = jobs[call["after"]]
    if "retry" in call:
        found["retry"] = Retry(**call["retry"])
    if "rate_limit" in call:
        from rq.rate_limit import RateLimit

        found["rate_limit"] = RateLimit(*call["rate_limit"])
    return found


def enqueue(call, jobs):
    queue = Queue(call["queue"], connection=connection, serializer=call.get("serializer"))
    # A name with a dot is an object's method.
    function = rq_tasks.Mailer().send if call["do"] == "Mailer.send" else getattr(rq_tasks, call["do"])
    args, kwargs = call.get("args", []), call.get("kwargs", {})
    if call.get("date"):
        args.append(datetime.date(2100, 1, 1))
    if "group" in call:
        from rq.group import Group

        return Group(connection, call["group"]).enqueue_many(queue, [Queue.prepare_data(function, args, kwargs)])[0]
    if "cron" in call:
        from rq.cron import CronScheduler

        scheduler = CronScheduler(connection)
        scheduler.register(function, call["queue"], args=args, kwargs=kwargs, interval=call["cron"])
        scheduler.register_birth()
        job = scheduler.enqueue_jobs()[0].get_job_ids(connection)[0]
        return queue.fetch_job(job)
    if "rq_scheduler" in call:
        from rq_scheduler import Scheduler

        later = datetime.timedelta(seconds=call["rq_scheduler"])
        return Scheduler(call["queue"], connection=connection).enqueue_in(later, function, *args, **kwargs)
    if "in" in call:
        later = datetime.timedelta(seconds=call["in"])
        return queue.enqueue_in(later, function, *args, **kwargs, **options(call, jobs))
    job = queue.enqueue_call(function, args, kwargs, **options(call, jobs))
    if call.get("take"):
        # Like a worker, before it records that the job is running.
        Queue.dequeue_any([queue], None, connection=connection)
    return job


if __name__ == "__main__":
    assert VERSION.startswith(os.environ["RQ_VERSION"]), VERSION
    jobs = []
    for call in json.load(sys.stdin):
        jobs.append(enqueue(call, jobs))
        if call.get("cancel"):
            jobs[-1].cancel()
    print(json.dumps([job.id for job in jobs]))
