"""The jobs of an application on RQ. RESULTS_URL is the database for their notes to the test."""

import json
import os

from redis import Redis


def results():
    return Redis.from_url(os.environ["RESULTS_URL"])


def note(*args, **kwargs):
    results().rpush("done", json.dumps([args, kwargs]))


def fail(*args):
    raise ValueError("as it was told")


def wait(*args):
    """Runs until the test has looked at the job."""
    results().rpush("waits", 1)
    results().blpop("go", 60)


class Mailer:
    def send(self, *args):
        note(*args)
