# With redis-server on PATH: the README's two commands, and a process for every test.
# Beside what follows.
needs tests
own_network
process=("${inside[@]}" env "$no_engine" EXPECTED_PROVIDER=process)
for number in 0 1; do
    run "process-$number" "${process[@]}" RUST_TEST_NOCAPTURE=1 bash -c "$(promised $number)"
done
run process-nextest "${process[@]}" cargo nextest run --workspace --success-output immediate
# With the features that are no default.
run process-doctests env TRANSIENT_PROVIDER=process cargo test --doc --all-features
run process-library env TRANSIENT_PROVIDER=process cargo test --lib --all-features
run process-jobs env TRANSIENT_PROVIDER=process cargo test --features sidekiq,apalis,rq --test it -- jobs::
served process "$logs"/process-*.log
