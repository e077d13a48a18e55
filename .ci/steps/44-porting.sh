# The tests of the porting page, before and after, on what each of them needs.
needs packages images
export CARGO_TARGET_DIR=$PWD/target
porting=(--manifest-path examples/porting/Cargo.toml)
run porting env TRANSIENT_PROVIDER=process cargo test "${porting[@]}"
# If the engine lacks the image of testcontainers-modules, give its name to one with this machine's server.
image=redis:5.0
if ! docker image inspect "$image" >/dev/null 2>&1; then
    docker create --name "$images-porting" "$images/redis:7" redis-server >/dev/null
    # The label removes it at the end of the run.
    docker commit --change 'CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no"]' --change 'EXPOSE 6379' \
        --change "LABEL $images=porting" "$images-porting" "$image" >/dev/null
    docker rm "$images-porting" >/dev/null
fi
run porting-build cargo test "${porting[@]}" --features before --no-run
run porting-engine cargo test "${porting[@]}" --features before --test before testcontainers
# In a separate network namespace, where 6379 is free.
start_redis
run porting-before "${inside[@]}" env "$no_engine" cargo test "${porting[@]}" --features before --test before -- --skip testcontainers
