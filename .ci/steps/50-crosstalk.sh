# Cross-talk tests in parallel: on started servers, on a shared one, and between users, cache directories and networks.
needs packages tests
tests=${CROSSTALK_TESTS-ones_0}
run crosstalk-own env "$no_engine" tests/crosstalk/run $tests
start_redis
run crosstalk-running "${inside[@]}" env TRANSIENT_REDIS_URL=redis://127.0.0.1:6379 tests/crosstalk/run $tests
run crosstalk-neighbours tests/crosstalk/neighbours ${CROSSTALK_NEIGHBOURS-ones_01}
tail -qn 1 "$logs"/crosstalk-{own,running}.log
