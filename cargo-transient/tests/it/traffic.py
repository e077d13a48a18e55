"""Sends commands of all kinds to the server at REDIS_URL: traffic.py NAME runs the function of that name."""
import os
import signal
import socket
import sys
from urllib.parse import urlsplit


def frame(*words):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Client:
    def __init__(self):
        parts = urlsplit(os.environ["REDIS_URL"])
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=60)
        self.replies = self.socket.makefile("rb")
        self.ask("AUTH", parts.password)

    def send(self, *words):
        self.socket.sendall(frame(*words))

    def read(self):
        line = self.replies.readline()
        kind, rest = line[:1], line[1:].strip()
        if kind in b"$=" and rest != b"-1":
            return self.replies.read(int(rest) + 2)[:-2]
        if kind in b"*~>%" and rest != b"-1":
            return [self.read() for _ in range(int(rest) * (2 if kind == b"%" else 1))]
        assert kind, "the connection was closed"
        return line.strip()

    def ask(self, *words):
        self.send(*words)
        return self.read()


def shop():
    """Sessions, carts, a lock that is never refused, and prices that are read one by one."""
    client = Client()
    client.ask("CLIENT", "SETNAME", "shop")
    for number in range(6):
        client.ask("SET", f"session:{number}", "x", "EX", 60)
        client.ask("SET", f"price:{number}", 1)
    client.ask("SET", "lock:mail", "x", "NX", "PX", 5000)
    assert client.ask("GET", "session:1") == b"x"
    assert client.ask("GET", "session:99") == b"$-1"
    for number in range(6):
        client.ask("GET", f"price:{number}")
    client.ask("HSET", "cart:1", "a", 1)
    client.ask("EXPIRE", "cart:1", 60)


def kinds():
    """RESP2, RESP3, inline commands, pipelines, transactions, pub/sub, blocking commands, scripts and binary keys."""
    client = Client()
    client.ask("HELLO", 3)
    assert client.ask("HGETALL", "none") == []
    client.socket.sendall(b"set inline 1\r\n")
    client.read()
    client.socket.sendall(3 * frame("INCR", "pipelined"))
    assert [client.read() for _ in range(3)] == [b":1", b":2", b":3"]
    client.ask("WATCH", "stock")
    client.ask("MULTI")
    client.ask("GET", "stock")
    client.ask("SADD", "brands", "a")
    assert client.ask("EXEC") == [b"_", b":1"]
    script = "-- Counts.\nreturn redis.call('INCR', KEYS[1])"
    sha = client.ask("SCRIPT", "LOAD", script)
    assert client.ask("EVALSHA", sha, 1, "count:1") == b":1"
    assert client.ask("EVALSHA", sha, 1, "count:1") == b":2"
    client.ask("SET", b"\xff\x00\r\n", b"\x00")
    # A blocking command on one connection, and what it waits for on another one.
    other = Client()
    other.send("BLPOP", "queue", 0)
    client.ask("RPUSH", "queue", "job")
    assert other.read() == [b"queue", b"job"]
    assert other.ask("SUBSCRIBE", "news", "mail") == [b"subscribe", b"news", b":1"]
    other.read()
    assert client.ask("PUBLISH", "news", "a sale") == b":1"
    assert other.read() == [b"message", b"news", b"a sale"]
    # Without a reply.
    client.ask("CLIENT", "REPLY", "ON")
    client.send("CLIENT", "REPLY", "SKIP")
    client.send("SET", "silent", 1)
    assert client.ask("GET", "silent") == b"1"


def two():
    """In two processes."""
    child = os.fork()
    client = Client()
    client.ask("SET", f"{'child' if child == 0 else 'parent'}:1", 1)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def dies():
    """Within a transaction, while another connection waits."""
    client, other = Client(), Client()
    client.ask("SET", "done:1", 1)
    client.ask("MULTI")
    client.ask("SET", "queued:1", 1)
    other.send("BLPOP", "queue", 0)
    # Answered after the other one was read.
    client.ask("PING")
    os.kill(os.getpid(), signal.SIGKILL)


def last():
    """Ends right after it has sent commands, whose replies it does not want."""
    client = Client()
    client.send("CLIENT", "REPLY", "OFF")
    client.socket.sendall(b"".join(frame("SET", f"last:{number}", 1) for number in range(5000)))
    os._exit(0)


def much():
    client = Client()
    for _ in range(100):
        client.ask("SET", "much", "x" * 10_000)
    print("done")


globals()[sys.argv[1]]()
