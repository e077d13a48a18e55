# Clippy passes with all features, with none, and with each group alone.
run clippy cargo clippy --workspace --all-targets --all-features -- -D warnings
for features in '' container session jobs snapshot sidekiq apalis rq tap tap-tls tower-sessions,http actix-session; do
    run "clippy-${features:-core}" cargo clippy --package transient-fixtures --no-default-features --features "$features" -- -D warnings
done
