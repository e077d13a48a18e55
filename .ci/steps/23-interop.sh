# The real frameworks: tower-sessions, actix-session, Pyramid, Celery.
# Beside what follows.
needs packages
run interop env "$no_engine" interop/run -- ${INTEROP_TESTS-}
