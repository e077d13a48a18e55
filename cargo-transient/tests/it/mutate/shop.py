"""A shop with promises that its tests check, and some that they do not."""
import time
import unittest
import uuid

from connection import Redis

LIMIT, WINDOW = 3, 10


class Shop:
    def __init__(self, redis):
        self.redis = redis
        self.queries = 0

    def cached(self, key):
        value = self.redis("GET", key)
        if value is None:
            self.queries += 1
            value = "12900"
            self.redis("SET", key, value, "EX", 60)
        return value

    def log_in(self, user):
        session = uuid.uuid4().hex
        self.redis("SETEX", f"session:{session}", 3600, user)
        return session

    def send_code(self, number):
        self.redis("SETEX", f"code:{number}", 300, "123456")

    def allows(self, window, now):
        self.redis("ZADD", f"hits:{window}", now, f"{now:.6f}")
        return self.redis("ZCOUNT", f"hits:{window}", f"{now - WINDOW:.6f}", "+inf") <= LIMIT

    def take_lock(self, name):
        return self.redis("SET", f"lock:{name}", "1", "NX", "PX", 2000) is not None

    def take_lease(self, name):
        return self.redis("HSETNX", f"lease:{name}", "owner", "1") == 1

    def buy(self, article):
        script = "-- Takes one.\nlocal left = redis.call('DECR', KEYS[1]) redis.call('RPUSH', KEYS[2], left) return left"
        return self.redis("EVAL", script, 2, f"stock:{article}", f"log:{article}")


class Tests(unittest.TestCase):
    def setUp(self):
        self.redis = Redis()
        self.addCleanup(self.redis.close)
        self.redis("FLUSHDB")
        self.shop = Shop(self.redis)

    def test_price_is_right_twice(self):
        """A cache that never hits passes as well."""
        self.assertEqual([self.shop.cached("price:a"), self.shop.cached("price:a")], ["12900"] * 2)

    def test_brand_is_queried_once(self):
        self.assertEqual([self.shop.cached("brand:a"), self.shop.cached("brand:a")], ["12900"] * 2)
        self.assertEqual(self.shop.queries, 1)

    def test_log_in(self):
        """A session without a TTL passes as well."""
        self.assertEqual(self.redis("GET", f"session:{self.shop.log_in('asa')}"), "asa")

    def test_code_expires(self):
        self.shop.send_code(46)
        self.assertEqual(self.redis("GET", "code:46"), "123456")
        self.assertIn(self.redis("TTL", "code:46"), range(290, 301))

    def test_limit(self):
        """A limiter that counts the hits of all time passes as well."""
        now = time.time()
        self.assertEqual([self.shop.allows("wrong", now + hit) for hit in range(4)], [True] * 3 + [False])

    def test_limit_ends_with_the_window(self):
        now = time.time()
        self.assertEqual([self.shop.allows("right", now + hit) for hit in range(4)], [True] * 3 + [False])
        self.assertTrue(self.shop.allows("right", now + WINDOW + 2.5))

    def test_lock_ends(self):
        self.assertEqual([self.shop.take_lock("a"), self.shop.take_lock("a")], [True, False])
        time.sleep(2.2)
        self.assertTrue(self.shop.take_lock("a"))

    def test_lease(self):
        """It is never refused."""
        self.assertTrue(self.shop.take_lease("a"))

    def test_stock(self):
        """Nothing reads the log."""
        self.redis("SET", "stock:a", 2)
        self.assertEqual([self.shop.buy("a"), self.shop.buy("a")], [1, 0])


if __name__ == "__main__":
    unittest.main()
