"""The shop's orders are sent by a service in Python."""
import time
import unittest

import redis


class Orders(unittest.TestCase):
    def setUp(self):
        self.redis = redis.Redis()
        self.redis.flushall()

    def tearDown(self):
        self.redis.close()

    def test_orders_are_sent_in_their_order(self):
        for number in range(30):
            self.redis.rpush("orders", number)
            time.sleep(0.01)
        self.assertEqual([self.redis.lpop("orders") for _ in range(31)], [b"%d" % n for n in range(30)] + [None])

    def test_an_order_is_locked_once(self):
        self.assertTrue(self.redis.set("lock:1", "a", nx=True, px=5000))
        time.sleep(0.2)
        self.assertFalse(self.redis.set("lock:1", "b", nx=True, px=5000))
        self.assertEqual(self.redis.dbsize(), 1)


if __name__ == "__main__":
    unittest.main()
