# The real web frameworks, Celery, Sidekiq, RQ and apalis-redis, against our sessions and jobs.
# Runs in the background.
# What other steps have built is not built again. At low priority, since tests of other steps measure time.
export CARGO_TARGET_DIR=$PWD/target
run interop-build nice -n 15 interop/run --no-run
own_network
run interop "${inside[@]}" env "$no_engine" interop/run -- ${INTEROP_TESTS-}
