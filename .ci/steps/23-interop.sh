# The real frameworks: tower-sessions, actix-session, Pyramid, Celery.
# Beside what follows.
needs packages
run interop env TRANSIENT_PROVIDER=process interop/run -- ${INTEROP_TESTS-}
