# The README's two commands, nextest and the cross-talk tests, on containers.
# Runs in the background.
needs images tests
# Nothing listens at this address, even if this machine has a Redis at 6379.
printf '[app:main]\nredis.sessions.url = redis://127.0.0.1:1\nredis.image = %s/redis:7\nredis.download = false\n%s\n' "$images" \
    "$(grep -E '^redis.sessions.(timeout|cookie_max_age)' test.ini)" >"$scratch/container.ini"
container=(TRANSIENT_TEST_INI="$scratch/container.ini" EXPECTED_PROVIDER=container)
bare=$(minimal_path)
for number in 0 1; do
    run "container-$number" env PATH="$bare" "${container[@]}" RUST_TEST_NOCAPTURE=1 bash -c "$(readme_command $number) -- $own_servers"
done
run container-nextest env "${container[@]}" TRANSIENT_PROVIDER=container cargo nextest run --package shop --success-output immediate
run crosstalk-containers env "${container[@]}" TRANSIENT_PROVIDER=container tests/crosstalk/run ones_01
check_provider container "$logs"/container-*.log
