# Keeps one server: starts it as a child, and ends it when the process that owns it is gone, however it went.
# $1 is the server's directory, $2 the owner's pid, $3 whether to keep the server of a test that has not passed, the
# rest the server's command line. Standard input is a pipe that the owner holds open, and says on it what its server is:
# "leased" to a test, or "idle"; and "end" when it is to go. Standard output is a socket that the server alone keeps open, so that the owner sees it
# end.

PATH=$PATH:/usr/bin:/bin
directory=$1
owner=$2
keep=$3
shift 3

# What ends the tests must not end us before the server.
trap '' HUP INT QUIT TERM

end() {
    [ -z "$server" ] || kill -KILL "$server"
    # The owner may have removed it already. A server that is only just ending may add a file meanwhile.
    for _ in 1 2 3 4 5 6 7 8; do
        [ -d "$directory" ] || break
        rm -rf -- "$directory" || sleep 0.1
    done
    # Whatever the server or we have started is in our process group, which was made for us alone.
    kill -KILL 0
}

# A forked child of the owner may hold the pipe open: so the owner's pid is watched as well. Not where servers are kept,
# since only the pipe tells which.
server=
if [ "$keep" = 0 ]; then
    (
        while kill -0 "$owner"; do sleep 0.5; done
        end
    ) </dev/null >/dev/null &
fi

# The owner makes the directory once we are there to remove it, and then says so.
{ read -r state && [ "$state" != end ]; } || end

"$@" 3>&1 >"$directory/server.log" 2>&1 </dev/null &
server=$!
exec >/dev/null

# The server stays our child, unreaped, until here: its pid can't be anybody else's.
# A forked child may hold the pipe open: so an owner that goes on says when it is done with its server.
while read -r word; do
    [ "$word" != end ] || end
    state=$word
done

if [ "$keep" = 1 ] && [ "$state" = leased ]; then
    # The owner has printed how to end it.
    wait "$server"
    rm -rf -- "$directory"
    exit
fi
end
