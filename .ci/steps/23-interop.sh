# The real frameworks: tower-sessions, axum_session, actix-session, Pyramid, Celery, Sidekiq, rusty-sidekiq, apalis-redis, RQ.
# Beside what follows.
# Other steps have tests that wait for something meanwhile.
run interop-build nice -n 15 interop/run --no-run
own_network
run interop "${inside[@]}" env "$no_engine" interop/run -- ${INTEROP_TESTS-}
