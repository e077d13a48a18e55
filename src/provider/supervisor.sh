# Ends one server when the process that owns it is gone, however it went.
# $1 is the server's directory, $2 the pid of the process with whose end the server ends, $3 whether to keep the server
# of a test that has not passed, and $4 the file of a slot if the server is shared by the processes of a test run: then
# $2 is their runner, and the server outlives the process that started it. The owner starts the server into our process
# group, which was made for the two of us: whoever ends the group ends the server, and needs no pid that could be
# somebody else's by now. Standard input is a pipe that the owner holds open, and says on it "server" with its pid; then
# whether it is "leased" to a test or "idle"; and "end" when it is to go.

PATH=$PATH:/usr/bin:/bin
directory=$1
owner=$2
keep=$3
slot=$4

# What ends the tests must not end us before the server.
trap '' HUP INT QUIT TERM

end() {
    # The owner may have removed it already. The server still runs, and may be only just starting.
    for _ in 1 2 3 4 5 6 7 8; do
        [ -d "$directory" ] || break
        rm -rf -- "$directory" || sleep 0.1
    done
    kill -KILL 0
}

# Where nobody reaps it, a server that has ended is still there.
runs() {
    kill -0 "$1" || return 1
    ! { read -r _ _ state _ <"/proc/$1/stat" && [ "$state" = Z ]; }
}

# The owner is gone, or the server that its run shared. A server that is kept is ended by whoever looks at it; the owner
# has printed how.
finish() {
    [ -z "$slot" ] || runs "$owner" || rm -f -- "$slot" "$slot.lock"
    if [ "$keep" = 1 ] && read -r state server <"$directory/state" && [ "$state" = leased ]; then
        while runs "$server"; do sleep 1; done
        rm -rf -- "$directory"
        exit
    fi
    end
}

# A forked child of the owner may hold the pipe open: so the owner's pid is watched as well.
(
    # The pause ignores what we ignore, and would last to its end.
    trap 'kill -KILL "$pause"; wait "$pause"; exit' USR1
    while runs "$owner"; do
        sleep 0.5 &
        pause=$!
        wait "$pause"
    done
    # The owner's last word may still be in the pipe.
    [ "$keep" = 0 ] || sleep 1
    finish
) </dev/null &
watcher=$!

# At the owner's word nothing of ours is left for others to reap, who may not do it.
end_at_word() {
    kill -USR1 "$watcher"
    wait "$watcher"
    end
}

# The owner makes the directory once we are there to remove it, then starts the server, and says so.
{ read -r word server && [ "$word" = server ]; } || end

# For the same reason an owner that goes on says when it is done with its server.
while read -r word; do
    [ "$word" != end ] || end_at_word
    [ "$keep" = 0 ] || { echo "$word $server" >"$directory/state.new" && mv "$directory/state.new" "$directory/state"; }
done
# The next process of the run has it.
[ -z "$slot" ] || while runs "$owner" && runs "$server"; do sleep 0.5; done
finish
