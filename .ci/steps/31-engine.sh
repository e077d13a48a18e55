# The tests of the container provider, on a real engine.
# Runs in the background.
needs images
# A separate tag, so that only this step's containers match.
docker tag "$images/redis:7" "$images/redis:engine"
run engine-build cargo test --workspace --test engine --no-run
run engine env SERVER_IMAGE="$images/redis:engine" SHELL_IMAGE="$images/shell:1" EMPTY_IMAGE="$images/empty:1" \
    cargo test --workspace --test engine
