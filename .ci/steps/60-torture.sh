# Tests that are killed at random moments, in eleven ways, leave no process, container or directory.
# Runs alone.
needs images tests
docker tag "$images/redis:7" "$images/redis:torture"
run torture env SERVER_IMAGE="$images/redis:torture" tests/torture.py --runs "${TORTURE_RUNS:-20}" --containers "${TORTURE_CONTAINERS:-11}"
cat "$logs/torture.log"
# Under a first process that does not reap orphans.
run zombies tests/zombies.py --runs "${ZOMBIE_RUNS:-10}"
cat "$logs/zombies.log"
