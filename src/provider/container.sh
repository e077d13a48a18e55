# The first process of a container: runs the server, and ends, which ends the container, when nobody is connected any
# more. $1 is the number of databases.

server=$(command -v redis-server || command -v valkey-server) || exit 127
cli=$(command -v redis-cli || command -v valkey-cli) || exit 127

# A server that a test has paused answers nobody.
limit=
if command -v timeout >/dev/null; then limit='timeout 2'; fi

# The passwords are not for the list of processes. What runs beside the server needs only its own, in REDISCLI_AUTH.
printf '%s' "$SERVER_CONFIGURATION" |
    "$server" --port 6379 --bind '0.0.0.0' --protected-mode no --databases "$1" --save '' --appendonly no - &
pid=$!
unset SERVER_CONFIGURATION

ask() { $limit "$cli" --no-auth-warning --user transient-fixtures -p 6379 "$@"; }

# The kernel tells it, whatever the server answers: it may be busy with a script, or want a password by now. 18EB is the
# port, 01 is established; both in the place where a line of the table has them. Where there is no table, somebody may be.
somebody_is_connected() {
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

# Seconds without a connection are counted in looks, so that a machine that slept does not take its sleep for absence.
absent=0
while kill -0 "$pid"; do
    sleep 1
    if somebody_is_connected; then absent=0; else absent=$((absent + 1)); fi
    [ "$absent" -ge 5 ] || continue
    absent=0
    # A kept one has its last owner's word.
    [ "$(ask EXISTS transient-fixtures:kept)" != 1 ] || continue
    # Who claims the server connects first and looks for this key then: one of us sees the other.
    ask SET transient-fixtures:ending 1 >/dev/null
    somebody_is_connected || exit
    ask DEL transient-fixtures:ending >/dev/null
done
