# The real frameworks: tower-sessions, axum_session, actix-session, Pyramid, Celery.
# Beside what follows.
run interop-build interop/run --no-run
own_network
run interop "${inside[@]}" env "$no_engine" interop/run -- ${INTEROP_TESTS-}
