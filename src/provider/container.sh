# The first process of a container: runs the server. It ends, which ends the container, when no client is connected for
# a while. $1 is the number of databases.

server=$(command -v redis-server || command -v valkey-server) || exit 127
cli=$(command -v redis-cli || command -v valkey-cli) || exit 127

# A server that a test has paused does not answer.
limit=
if command -v timeout >/dev/null; then limit='timeout 2'; fi

# The passwords must not appear in the process list. This script needs only its own, in REDISCLI_AUTH.
printf '%s' "$SERVER_CONFIGURATION" |
    "$server" --port 6379 --bind '0.0.0.0' --protected-mode no --databases "$1" --save '' --appendonly no - &
pid=$!
unset SERVER_CONFIGURATION

ask() { $limit "$cli" --no-auth-warning --user transient-fixtures -p 6379 "$@"; }

# Asks the kernel, since the server may be busy with a script or have another password. In a line of the table, 18EB is
# the port and 01 is an established connection. Without the table, assume that there is a client.
has_clients() {
    [ -r /proc/net/tcp ] || return 0
    for table in /proc/net/tcp /proc/net/tcp6; do
        [ -r "$table" ] || continue
        while read -r _ local _ state _; do
            case "$local $state" in
                *":18EB 01") return 0 ;;
            esac
        done <"$table"
    done
    return 1
}

# Count checks, not seconds: a suspended machine makes no checks.
absent=0
while kill -0 "$pid"; do
    sleep 1
    if has_clients; then absent=0; else absent=$((absent + 1)); fi
    [ "$absent" -ge 5 ] || continue
    absent=0
    # The last owner keeps this container.
    [ "$(ask EXISTS transient-fixtures:kept)" != 1 ] || continue
    # A process that claims the server connects first and then checks this key: one of us sees the other.
    ask SET transient-fixtures:ending 1 >/dev/null
    has_clients || exit
    ask DEL transient-fixtures:ending >/dev/null
done
