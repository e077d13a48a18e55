# Tests beside each other that would notice each other: on servers of their own, on one, and by other users and hosts.
needs packages tests
tests=${CROSSTALK_TESTS-ones_0}
run crosstalk-own env "$no_engine" tests/crosstalk/run $tests
start_redis
run crosstalk-running "${inside[@]}" env TRANSIENT_REDIS_URL=redis://127.0.0.1:6379 tests/crosstalk/run $tests
run crosstalk-neighbours tests/crosstalk/neighbours ${CROSSTALK_NEIGHBOURS-ones_01}
tail -qn 1 "$logs"/crosstalk-{own,running}.log
