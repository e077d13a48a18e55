# Tests that are ended at random moments, in every way there is, leave nothing.
# Alone.
needs images
docker tag "$images/redis:7" "$images/redis:torture"
run torture env SERVER_IMAGE="$images/redis:torture" tests/torture.py --runs "${TORTURE_RUNS:-20}" --containers "${TORTURE_CONTAINERS:-11}"
cat "$logs/torture.log"
