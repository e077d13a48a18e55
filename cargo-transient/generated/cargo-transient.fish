# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_cargo_transient_global_optspecs
    string join \n h/help V/version
end

function __fish_cargo_transient_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_cargo_transient_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_cargo_transient_using_subcommand
    set -l cmd (__fish_cargo_transient_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -s h -l help -d 'Print help'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -s V -l version -d 'Print version'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -f -a "exec" -d 'Runs a command with a server of its own'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -f -a "record" -d 'Runs a command and sums up what it sends to its server'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -f -a "mutate" -d 'Changes commands on their way to Redis, and reports which changes no test notices'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -f -a "up" -d 'Starts a server, prints how to connect, and ends it at Ctrl-C'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -f -a "show" -d 'Shows the keys of a database'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -f -a "dump" -d 'Backs up a database into a file'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -f -a "restore" -d 'Writes a backup back'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -f -a "flush" -d 'Empties the test databases of a running server'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -f -a "doctor" -d 'Tries every provider of servers, and explains what to do'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -f -a "clean" -d 'Shows and removes what is kept on this machine'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -f -a "man" -d 'Prints the manual page'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -f -a "completions" -d 'Prints the completions for a shell'
complete -c cargo-transient -n "__fish_cargo_transient_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand exec" -l var -d 'Sets a variable for the command; can be repeated' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand exec" -l publish -d 'The port that the command expects Redis at; can be repeated' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand exec" -l database -d 'The database in the URL' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand exec" -l provider -d 'Where the server comes from' -r -f -a "running\t''
process\t''
container\t''
download\t''"
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand exec" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -l var -d 'Sets a variable for the command; can be repeated' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -l publish -d 'The port that the command expects Redis at; can be repeated' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -l database -d 'The database in the URL' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -l provider -d 'Where the server comes from' -r -f -a "running\t''
process\t''
container\t''
download\t''"
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -l report -d 'Writes the summary to a file instead of standard error' -r -F
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -l json -d 'Writes the whole summary as JSON' -r -F
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -l transcript -d 'Writes a line for each command, in the order of the replies' -r -F
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -l recording -d 'Keeps the recording, with all commands and replies in full' -r -F
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -l round-trips -d 'Fails after more round trips than this' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -l never -d 'Fails if a command such as KEYS or \'FLUSH*\' is sent; can be repeated' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -l all -d 'Shows all shapes, not only the first 10 of each list'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -l never-without-ttl -d 'Fails if a key is left without a TTL'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -l never-n-plus-one -d 'Fails if there is N+1 access'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand record" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -l time -d 'Ends after this time, such as 90s, 5m or 1h' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -l mutants -d 'Tries at most N changes of whole shapes' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -l only -d 'Only these operators' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -l skip -d 'All operators but these' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -l match -d 'Only commands whose shape matches, such as \'SET session:*\'; can be repeated' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -l accept -d 'Findings that are not reported, in JSON' -r -F
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -l suite -d 'When the suite is run with a change [default: auto]' -r -f -a "never\t''
auto\t''
all\t''"
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -s j -l jobs -d 'Runs N suites at once, each with a server of its own' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -l json -d 'Writes the report as JSON' -r -F
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -l var -d 'Sets a variable for the command; can be repeated' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -l publish -d 'The port that the command expects Redis at; can be repeated' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -l database -d 'The database in the URL' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -l provider -d 'Where the server comes from' -r -f -a "running\t''
process\t''
container\t''
download\t''"
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -l allow-flaky -d 'Leaves tests that fail only sometimes out of every verdict, instead of refusing the suite'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand mutate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand up" -l database -d 'The database in the URL' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand up" -l provider -d 'Where the server comes from' -r -f -a "running\t''
process\t''
container\t''
download\t''"
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand up" -l no-password -d 'The server has no password, and any user of this machine can connect'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand up" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand show" -l database -d 'The database [default: 14, the session database of tests]' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand show" -l match -d 'Shows only keys that match, such as \'cart:*\'' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand show" -l limit -d 'About how many keys to show; at least three of each prefix' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand show" -l url -d 'The server' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand show" -l watch -d 'Refreshes every second until Ctrl-C'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand show" -l json -d 'Prints each key as a line of JSON'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand dump" -l database -d 'The database [default: 14, the session database of tests]' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand dump" -l match -d 'Only keys that match, such as \'cart:*\'' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand dump" -l format -d 'The form of the file: snapshot or resp' -r -f -a "snapshot\t''
resp\t''"
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand dump" -l url -d 'The server' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand dump" -l replace -d 'Replaces the file if there is one'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand dump" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand restore" -l database -d 'The database that gets the keys' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand restore" -l url -d 'The server' -r
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand restore" -l even-if-not-a-test-database -d 'Allows a database that is not one of the two for tests'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand restore" -l replace -d 'Replaces keys of the same names; all others stay'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand flush" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand clean" -l dry-run -d 'Only shows what there is'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand clean" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand help; and not __fish_seen_subcommand_from exec record mutate up show dump restore flush doctor clean man completions help" -f -a "exec" -d 'Runs a command with a server of its own'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand help; and not __fish_seen_subcommand_from exec record mutate up show dump restore flush doctor clean man completions help" -f -a "record" -d 'Runs a command and sums up what it sends to its server'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand help; and not __fish_seen_subcommand_from exec record mutate up show dump restore flush doctor clean man completions help" -f -a "mutate" -d 'Changes commands on their way to Redis, and reports which changes no test notices'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand help; and not __fish_seen_subcommand_from exec record mutate up show dump restore flush doctor clean man completions help" -f -a "up" -d 'Starts a server, prints how to connect, and ends it at Ctrl-C'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand help; and not __fish_seen_subcommand_from exec record mutate up show dump restore flush doctor clean man completions help" -f -a "show" -d 'Shows the keys of a database'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand help; and not __fish_seen_subcommand_from exec record mutate up show dump restore flush doctor clean man completions help" -f -a "dump" -d 'Backs up a database into a file'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand help; and not __fish_seen_subcommand_from exec record mutate up show dump restore flush doctor clean man completions help" -f -a "restore" -d 'Writes a backup back'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand help; and not __fish_seen_subcommand_from exec record mutate up show dump restore flush doctor clean man completions help" -f -a "flush" -d 'Empties the test databases of a running server'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand help; and not __fish_seen_subcommand_from exec record mutate up show dump restore flush doctor clean man completions help" -f -a "doctor" -d 'Tries every provider of servers, and explains what to do'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand help; and not __fish_seen_subcommand_from exec record mutate up show dump restore flush doctor clean man completions help" -f -a "clean" -d 'Shows and removes what is kept on this machine'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand help; and not __fish_seen_subcommand_from exec record mutate up show dump restore flush doctor clean man completions help" -f -a "man" -d 'Prints the manual page'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand help; and not __fish_seen_subcommand_from exec record mutate up show dump restore flush doctor clean man completions help" -f -a "completions" -d 'Prints the completions for a shell'
complete -c cargo-transient -n "__fish_cargo_transient_using_subcommand help; and not __fish_seen_subcommand_from exec record mutate up show dump restore flush doctor clean man completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
