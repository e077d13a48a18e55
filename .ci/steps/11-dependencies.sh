# Without features, the library adds 8 crates to redis, as the README states.
crates() { cargo tree "$@" --edges normal --prefix none | sed 's/ (\*)$//; s/ (proc-macro)$//' | sort -u; }
core=$(comm -13 <(crates --package redis) <(crates --package transient-fixtures --no-default-features) | wc -l)
echo "without features, transient-fixtures adds $core crates to redis; by default there are $(crates --package transient-fixtures | wc -l)"
grep -q "adds $core crates to those of \`redis\`" README.md || fail "the README states another number of crates"
