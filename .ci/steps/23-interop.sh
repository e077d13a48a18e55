# The real web frameworks, Celery, Sidekiq, RQ and apalis-redis, against our sessions and jobs.
# Runs in the background.
# At low priority, since tests of other steps measure time.
run interop-build nice -n 15 interop/run --no-run
own_network
run interop "${inside[@]}" env "$no_engine" interop/run -- ${INTEROP_TESTS-}
