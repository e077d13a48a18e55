# The first process of a container: runs the server, and ends, which ends the container, when its owner is gone.
# $1 is the number of databases, $2 what the client names of owners start with.

server=$(command -v redis-server || command -v valkey-server) || exit 127
cli=$(command -v redis-cli || command -v valkey-cli) || exit 127

"$server" --port 6379 --bind '0.0.0.0' --protected-mode no --databases "$1" --save '' --appendonly no &
pid=$!

# 0: an owner is connected, 1: none is, 2: the answer is no list, but an error: a script runs, a test has set a password.
owner_is_there() {
    case $("$cli" -p 6379 CLIENT LIST) in
        *"name=$1"*) return 0 ;;
        *id=*) return 1 ;;
        *) return 2 ;;
    esac
}

# A probe that is not answered (a long script, a stopped machine) counts as in use. Seconds without an owner are
# counted in probes, so that a machine that slept does not take its sleep for absence.
absent=0
while kill -0 "$pid"; do
    sleep 1
    owner_is_there "$2"
    case $? in
        0) absent=0 ;;
        1) absent=$((absent + 1)) ;;
    esac
    [ "$absent" -ge 5 ] || continue
    absent=0
    # A kept one has its last owner's word.
    [ "$("$cli" -p 6379 EXISTS transient-fixtures:kept)" = 0 ] || continue
    # Who claims the server names himself first and looks for this key then: one of us sees the other.
    "$cli" -p 6379 SET transient-fixtures:ending 1 >/dev/null
    owner_is_there "$2"
    [ $? != 1 ] || exit
    "$cli" -p 6379 DEL transient-fixtures:ending >/dev/null
done
