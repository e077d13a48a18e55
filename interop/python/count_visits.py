import os

import redis

client = redis.Redis.from_url(os.environ["REDIS_URL"])
visits = int(client.get("visits") or 0)
print("point: write the log", flush=True)
input()
client.set("visits", visits + 1)
