"""The jobs of the shop, on Celery. BROKER_URL and RESULTS_URL are the databases, CONF has further settings.
EXPECTED_CELERY is the required prefix of Celery's version."""

import json
import os

import celery
import redis
from celery import Celery

assert celery.__version__.startswith(os.environ["EXPECTED_CELERY"]), celery.__version__

app = Celery("shop", broker=os.environ["BROKER_URL"])
app.conf.update(task_ignore_result=True, **json.loads(os.environ["CONF"]))


def done(task, args, kwargs):
    """Leaves a note for the test."""
    request = task.request
    info = {name: (request.delivery_info or {}).get(name) for name in ("routing_key", "priority")}
    note = {"id": request.id, "retries": request.retries, "args": args, "kwargs": kwargs, "eta": request.eta, **info}
    redis.Redis.from_url(os.environ["RESULTS_URL"]).rpush("done", json.dumps(note))


@app.task(bind=True, name="shop.send_mail")
def send_mail(self, *args, **kwargs):
    done(self, args, kwargs)


@app.task(bind=True, name="shop.charge")
def charge(self, *args, **kwargs):
    if self.request.retries == 0:
        # To a queue that the worker does not read, so that the test can look at it.
        raise self.retry(countdown=0, queue="later")
    done(self, args, kwargs)
