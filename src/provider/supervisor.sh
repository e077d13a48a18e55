# Ends a server when the process that owns it is gone, however that process ended.
# $1 is the server's directory. $2 is the pid of the owner. $3 is 1 to keep the server of a test that has not passed. $4
# is the file of a slot if the processes of a test run share the server: then $2 is their runner, and the server
# outlives the process that has started it.
# The owner starts the server into our process group, which contains only the two of us. Killing the group ends the
# server without its pid, which could have been reused. Standard input is a pipe that the owner holds open. On it the
# owner writes "server" with the server's pid (none if it needs only the directory), then "leased" or "idle" whenever a
# test gets or returns the server, and "end" to end it.

PATH=$PATH:/usr/bin:/bin
directory=$1
owner=$2
keep=$3
slot=$4

# A signal to the tests must not end us before the server.
trap '' HUP INT QUIT TERM

end() {
    # The owner may already have removed it. The server is still running, and can create files while it starts.
    for _ in 1 2 3 4 5 6 7 8; do
        [ -d "$directory" ] || break
        rm -rf -- "$directory" || sleep 0.1
    done
    kill -KILL 0
}

# A server that has ended and was not reaped is a zombie.
runs() {
    kill -0 "$1" || return 1
    ! { read -r _ _ state _ <"/proc/$1/stat" && [ "$state" = Z ]; }
}

# The owner is gone, or the server that its run shared. A server that is kept is ended by the user with the command that
# the owner has printed.
finish() {
    [ -z "$slot" ] || runs "$owner" || rm -f -- "$slot" "$slot.lock"
    if [ "$keep" = 1 ] && read -r state server <"$directory/state" && [ "$state" = leased ]; then
        while runs "$server"; do sleep 1; done
        rm -rf -- "$directory"
        exit
    fi
    end
}

# Watch the owner's pid, too: a forked child of the owner may hold the pipe open.
(
    # The pause inherits our ignored signals and would last to its end.
    trap 'kill -KILL "$pause"; wait "$pause"; exit' USR1
    while runs "$owner"; do
        sleep 0.5 &
        pause=$!
        wait "$pause"
    done
    # The owner's last line may still be in the pipe.
    [ "$keep" = 0 ] || sleep 1
    finish
) </dev/null &
watcher=$!

# Reaps the watcher: the first process of a container may not reap orphans.
end_on_request() {
    kill -USR1 "$watcher"
    wait "$watcher"
    end
}

# The owner creates the directory when we are ready to remove it, and then starts the server.
{ read -r word server && [ "$word" = server ]; } || end

# An owner that keeps running sends "end" when it is done with its server.
while read -r word; do
    [ "$word" != end ] || end_on_request
    [ "$keep" = 0 ] || { echo "$word $server" >"$directory/state.new" && mv "$directory/state.new" "$directory/state"; }
done
# Another process of the run may use the server next.
[ -z "$slot" ] || while runs "$owner" && runs "$server"; do sleep 0.5; done
finish
