"""Explores two clients that connect and send three commands each. Prints the seconds that a run took.

The argument is the URL of the server. Runs under `frontrun python`.
"""

import sys
import time

import frontrun
import redis

runs = 0
control = redis.Redis.from_url(sys.argv[1])


def begin():
    global runs
    runs += 1
    control.flushdb()


def visit(_):
    client = redis.Redis.from_url(sys.argv[1])
    client.set("name", 1)
    client.get("other")
    client.incr("count")
    client.close()


start = time.perf_counter()
frontrun.explore(
    setup=begin,
    workers=visit,
    count=2,
    invariant=lambda _: control.get("count") == b"2",
    detect_io=True,
    stop_on_first=False,
    reproduce_on_failure=0,
).assert_holds()
print((time.perf_counter() - start) / runs)
