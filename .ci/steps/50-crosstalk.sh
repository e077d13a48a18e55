# Tests beside each other that would notice each other: on servers of their own, and on one.
needs packages
run crosstalk-own env "$no_engine" tests/crosstalk/run
start_redis
run crosstalk-running "${inside[@]}" env TRANSIENT_REDIS_URL=redis://127.0.0.1:6379 tests/crosstalk/run
tail -qn 1 "$logs"/crosstalk-{own,running}.log
