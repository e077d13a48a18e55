"""Suites that something is wrong with: other.py NAME."""
import os
import sys
import unittest

from connection import Redis


class Tests(unittest.TestCase):
    def setUp(self):
        if sys.argv[1] != "silent":
            self.redis = Redis()
            self.addCleanup(self.redis.close)

    def test_green(self):
        if sys.argv[1] != "silent":
            self.redis("SET", "a", "1")
            # With a mutant that makes it nil, this never ends.
            while self.redis("GET", "a") is None:
                pass

    def test_odd(self):
        if sys.argv[1] == "red":
            self.fail("always")
        if sys.argv[1] == "flaky":
            # The runs take turns.
            path = "turn"
            if os.path.exists(path):
                os.remove(path)
                self.fail("every other time")
            with open(path, "w"):
                pass

    def test_waits(self):
        if sys.argv[1] == "waits":
            with open("new", "w") as file:
                file.write(str(os.getpid()))
            os.rename("new", "process")
            self.redis("BLPOP", "never", "0")


unittest.main(argv=[sys.argv[0], "-v"])
