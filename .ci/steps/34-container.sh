# A container for each test process: the README's two commands, a process for every test, and cross-talk.
# Beside what follows.
needs images tests
# Nothing is at the address, whatever this machine has at 6379.
printf '[app:main]\nredis.sessions.url = redis://127.0.0.1:1\nredis.image = %s/redis:7\nredis.download = false\n%s\n' "$images" \
    "$(grep -E '^redis.sessions.(timeout|cookie_max_age)' test.ini)" >"$scratch/container.ini"
container=(TRANSIENT_TEST_INI="$scratch/container.ini" EXPECTED_PROVIDER=container)
bare=$(bare)
for number in 0 1; do
    run "container-$number" env PATH="$bare" "${container[@]}" RUST_TEST_NOCAPTURE=1 bash -c "$(promised $number)"
done
run container-nextest env "${container[@]}" TRANSIENT_PROVIDER=container cargo nextest run --package shop --success-output immediate
run crosstalk-containers env "${container[@]}" TRANSIENT_PROVIDER=container tests/crosstalk/run ones_01
served container "$logs"/container-*.log
