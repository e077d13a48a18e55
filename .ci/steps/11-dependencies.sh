# Without features, the library adds at most 15 crates to redis.
crates() { cargo tree "$@" --edges normal --prefix none | sed 's/ (\*)$//; s/ (proc-macro)$//' | sort -u; }
core=$(comm -13 <(crates --package redis) <(crates --package transient-fixtures --no-default-features) | wc -l)
echo "without features, transient-fixtures adds $core crates to redis; by default there are $(crates --package transient-fixtures | wc -l)"
[ "$core" -gt 0 ] && [ "$core" -le 15 ] || fail "too many dependencies"
