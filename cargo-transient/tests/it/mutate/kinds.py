"""Commands of every kind, whose replies are the same in each run, though not always byte for byte."""
import threading
import time
import unittest

from connection import Redis


class Tests(unittest.TestCase):
    def connect(self):
        redis = Redis()
        self.addCleanup(redis.close)
        return redis

    def setUp(self):
        self.redis = self.connect()
        self.redis("FLUSHALL")

    def test_blocking(self):
        worker = self.connect()
        jobs = []
        thread = threading.Thread(target=lambda: jobs.append(worker("BRPOP", "jobs:all", "30")))
        thread.start()
        while "cmd=brpop" not in self.redis("CLIENT", "LIST"):
            pass
        self.redis("LPUSH", "jobs:all", "mail")
        thread.join()
        self.assertEqual(jobs, [["jobs:all", "mail"]])
        self.assertIsNone(worker("BRPOP", "jobs:all", "0.2"))

    def test_subscriber(self):
        subscriber = self.connect()
        subscriber("SUBSCRIBE", "news:all", "sport:all")
        subscriber.read()
        self.assertEqual(self.redis("PUBLISH", "news:all", "a sale"), 1)
        self.assertEqual(subscriber.read(), ["message", "news:all", "a sale"])
        # Nobody listens to this.
        self.redis("PUBLISH", "weather:all", "rain")

    def test_stream(self):
        first = self.redis("XADD", "log:all", "*", "a", "1")
        self.redis("XADD", "log:all", "*", "a", "2")
        self.assertEqual(self.redis("XRANGE", "log:all", first, first), [[first, ["a", "1"]]])
        self.assertEqual(self.redis("XDEL", "log:all", first), 1)

    def test_time(self):
        self.redis("SET", "short:all", "1", "PX", 150)
        self.redis("SET", "long:all", "1", "EXAT", int(time.time()) + 60)
        self.assertIn(self.redis("TTL", "long:all"), range(50, 61))
        time.sleep(0.3)
        self.assertIsNone(self.redis("GET", "short:all"))
        self.redis("TIME")

    def test_watch(self):
        other = self.connect()
        self.redis("SET", "stock:all", 1, "EX", 100)
        self.redis("WATCH", "stock:all")
        time.sleep(0.05)
        other("DECR", "stock:all")
        self.redis("MULTI")
        self.redis("DECR", "stock:all")
        self.assertIsNone(self.redis("EXEC"))
        self.assertEqual(self.redis("GET", "stock:all"), "0")

    def test_sets(self):
        self.redis("SADD", "members:all", *range(100), "x")
        self.assertEqual(len(self.redis("SMEMBERS", "members:all")), 101)
        self.redis("SPOP", "members:all", 50)
        self.assertEqual(self.redis("SCARD", "members:all"), 51)
        self.assertEqual(len(self.redis("SCAN", 0, "COUNT", 1000)[1]), 1)

    def test_databases(self):
        self.redis("SELECT", 3)
        self.redis("SET", "a:all", 3, "PX", 150)
        other = self.connect()
        self.assertIsNone(other("GET", "a:all"))
        time.sleep(0.2)
        self.assertIsNone(self.redis("GET", "a:all"))

    def test_protocol(self):
        redis = self.connect()
        redis("HELLO", 3)
        redis("HSET", "user:all", "name", "asa", "age", "30")
        self.assertEqual(redis("HGETALL", "user:all"), {"name": "asa", "age": "30"})
        self.assertIsNone(redis("GET", "nothing:all"))

    def test_script(self):
        code = "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])"
        sha = self.redis("SCRIPT", "LOAD", code)
        self.assertEqual(self.redis("EVALSHA", sha, 1, "script:all", "1"), "1")


if __name__ == "__main__":
    unittest.main()
