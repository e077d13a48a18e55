"""Random commands by redis-py, on two URLs: their replies must be equal. Arguments: the URLs, the version of the
protocol, and how many commands."""

import random
import sys

import redis

direct_url, tap_url, protocol, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
KEYS = ["a", "b", "c"]
VALUES = ["7", "x", "ÅÄÖ", b"\r\n$-1\r\n", b"\0\xff", "1.5", ""]


def commands(choose):
    key, value = lambda: choose.choice(KEYS), lambda: choose.choice(VALUES)
    number = lambda: choose.randrange(-3, 10)
    member = lambda: choose.choice(["m", "n", "å"])
    return choose.choice([
        lambda: ("set", (key(), value()), {}),
        lambda: ("set", (key(), value()), {"ex": 100, "get": True}),
        lambda: ("set", (key(), value()), {"nx": True}),
        lambda: ("get", (key(),), {}),
        lambda: ("getdel", (key(),), {}),
        lambda: ("append", (key(), value()), {}),
        lambda: ("setrange", (key(), 3, value()), {}),
        lambda: ("getrange", (key(), number(), number()), {}),
        lambda: ("incr", (key(),), {}),
        lambda: ("incrbyfloat", (key(), 1.25), {}),
        lambda: ("mget", (KEYS,), {}),
        lambda: ("delete", (key(), key()), {}),
        lambda: ("exists", (key(),), {}),
        lambda: ("type", (key(),), {}),
        lambda: ("expire", (key(), 100), {}),
        lambda: ("ttl", (key(),), {}),
        lambda: ("rpush", (key(), value(), value()), {}),
        lambda: ("lrange", (key(), 0, -1), {}),
        lambda: ("lpop", (key(), 2), {}),
        lambda: ("blpop", (KEYS, 0.01), {}),
        lambda: ("lmove", (key(), key()), {}),
        lambda: ("hset", (key(), member(), value()), {}),
        lambda: ("hgetall", (key(),), {}),
        lambda: ("hmget", (key(), ["m", "none"]), {}),
        lambda: ("sadd", (key(), member()), {}),
        lambda: ("smembers", (key(),), {}),
        lambda: ("sinter", (KEYS,), {}),
        lambda: ("zadd", (key(), {member(): number() / 2}), {}),
        lambda: ("zrange", (key(), 0, -1), {"withscores": True}),
        lambda: ("zscore", (key(), member()), {}),
        lambda: ("zpopmin", (key(),), {}),
        lambda: ("xadd", (key(), {"f": value()}), {"id": "%d-1" % choose.randrange(1, 9)}),
        lambda: ("xrange", (key(),), {}),
        lambda: ("xread", ({key(): "0"},), {}),
        lambda: ("geoadd", (key(), (13.4, 52.5, member())), {}),
        lambda: ("geopos", (key(), member()), {}),
        lambda: ("bitcount", (key(),), {}),
        lambda: ("rename", (key(), key()), {}),
        lambda: ("eval", ("return {1, false, {ok='x'}, redis.call('TYPE', KEYS[1]), ARGV[1]}", 1, key(), value()), {}),
        lambda: ("execute_command", ("NOSUCH", value()), {}),
        lambda: ("echo", (value(),), {}),
    ])()


def shown(work):
    try:
        return work()
    except redis.RedisError as error:
        return type(error), str(error)


def call(client, command):
    name, args, options = command
    return shown(lambda: getattr(client, name)(*args, **options))


def piped(client, transaction, several):
    pipeline = client.pipeline(transaction=transaction)
    for command in several:
        call(pipeline, command)
    replies = shown(lambda: pipeline.execute(raise_on_error=False))
    return [(type(reply), str(reply)) if isinstance(reply, Exception) else reply for reply in replies]


def messages(client):
    """Subscribes, is told, and ends: what is read, in order."""
    with client.pubsub() as subscriber:
        subscriber.subscribe("news", "weather")
        subscriber.psubscribe("n*")
        found = [subscriber.get_message(timeout=10) for _ in range(3)]
        receivers = client.publish("news", "ÅÄÖ")
        found += [subscriber.get_message(timeout=10) for _ in range(2)]
        subscriber.unsubscribe()
        found += [subscriber.get_message(timeout=10) for _ in range(2)]
        return receivers, found


replies, choose = 0, random.Random(7)
clients = [redis.Redis.from_url(url, protocol=protocol, client_name="random") for url in (direct_url, tap_url)]
while replies < count:
    several = [commands(choose) for _ in range(choose.randrange(1, 30))]
    way = choose.choice(["one by one", "pipeline", "transaction"])
    found = []
    for client in clients:
        client.flushdb()
        if way == "one by one":
            found.append([call(client, command) for command in several])
        else:
            found.append(piped(client, way == "transaction", several))
    assert found[0] == found[1], (way, several, found)
    replies += len(several)
direct, tapped = (messages(client) for client in clients)
# An UNSUBSCRIBE of all goes through the channels in the server's order.
in_order = lambda found: (found[0], found[1][:-2], sorted(message["channel"] for message in found[1][-2:]))
assert in_order(direct) == in_order(tapped), (direct, tapped)
print(replies)
