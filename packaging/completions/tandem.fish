# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_tandem_global_optspecs
    string join \n config= state-dir= runtime-dir= h/help V/version
end

function __fish_tandem_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_tandem_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_tandem_using_subcommand
    set -l cmd (__fish_tandem_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c tandem -n "__fish_tandem_needs_command" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_needs_command" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_needs_command" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_needs_command" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_needs_command" -s V -l version -d 'Print version'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "daemon" -d 'Runs the daemon of this node'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "mirror" -d 'Runs the mirror of one module on this node (started by the daemon)'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "guard" -d 'Makes the directories of all volumes read-only until a node serves (at boot)'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "status" -d 'Shows both nodes'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "top" -d 'Shows both nodes in the terminal, live'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "doctor" -d 'Looks at this machine, the other node and what is between them, before set-up and at any time; exit status 1: something failed, 6: the other node could not be asked'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "start" -d 'Starts a node; it picks its role by itself'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "stop" -d 'Stops a node; the other one takes over if it can'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "restart" -d 'Restarts the services in place, without a failover'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "stopstart" -d 'Stops a node and starts it again; on the primary this is a failover'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "swap" -d 'Exchanges the roles of the nodes'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "prim" -d 'Lets a node serve: the answer to the first start, or to a WAIT'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "second" -d 'Starts a node as standby; gives up its side of a divergence'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "failover" -d 'Lets the service move between the nodes by itself, or not; both nodes, unless one is named'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "checkers" -d 'Lets what checkers and services report have consequences, or not; both nodes, unless one is named'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "boot" -d 'Lets a node start the module by itself after a boot, or not; both nodes, unless one is named'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "verify" -d 'Compares both copies while the application works, and repairs the standby\'s where it is not the same; exit status 0: they are equal, 1: they were not, or it did not get to its end'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "estimate" -d 'Says how much a synchronisation has to compare, and how long that took last time'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "support" -d 'Writes what a person who helps needs to see, without secrets, into one file'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "user" -d 'Who may use the console'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "console" -d 'How browsers reach the console of this node'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "check" -d 'Says in one line how a module is, for Nagios, Icinga and Zabbix; exit status 0: good, 1: warning, 2: critical, 3: unknown'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "explain" -d 'Says from both nodes\' state files what each node knows, and the safe next step; `explain emergency`: how to run the application without Tandem'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "license" -d 'The licence'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "config" -d 'The configuration file'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "setup" -d 'Makes a protected pair of two servers: on the second server first, then on the first one, then `complete` on the second. Asks; or takes flags or a file with answers'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "cluster" -d 'The keys of the two nodes'
complete -c tandem -n "__fish_tandem_needs_command" -f -a "demo" -d 'Shows on one machine what happens when a server loses power (as root)'
complete -c tandem -n "__fish_tandem_using_subcommand daemon" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand daemon" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand daemon" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand daemon" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand mirror" -l module -d 'The module' -r
complete -c tandem -n "__fish_tandem_using_subcommand mirror" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand mirror" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand mirror" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand mirror" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand guard" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand guard" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand guard" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand guard" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand status" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand status" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand status" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand status" -l json -d 'In JSON, for scripts'
complete -c tandem -n "__fish_tandem_using_subcommand status" -l watch -d 'Shows it again whenever it changes'
complete -c tandem -n "__fish_tandem_using_subcommand status" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand top" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand top" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand top" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand top" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand doctor" -l peer -d 'Before set-up: where the other node will be' -r
complete -c tandem -n "__fish_tandem_using_subcommand doctor" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand doctor" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand doctor" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand doctor" -l json -d 'In JSON, for scripts: result and findings, each ok, unknown, warning or failed'
complete -c tandem -n "__fish_tandem_using_subcommand doctor" -l all -d 'Also shows what is as it should be'
complete -c tandem -n "__fish_tandem_using_subcommand doctor" -l fix -d 'Repairs what can be repaired on this node, and looks again'
complete -c tandem -n "__fish_tandem_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand start" -l node -d 'The node, 1 or 2; default: this one' -r
complete -c tandem -n "__fish_tandem_using_subcommand start" -l module -d 'The module; default: the only one' -r
complete -c tandem -n "__fish_tandem_using_subcommand start" -l timeout -d 'How long to wait for the end; default: no limit' -r
complete -c tandem -n "__fish_tandem_using_subcommand start" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand start" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand start" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand start" -l no-wait -d 'Only begins, and says the job\'s name'
complete -c tandem -n "__fish_tandem_using_subcommand start" -l all -d 'Both nodes (start, stop): a stop brings both copies level first'
complete -c tandem -n "__fish_tandem_using_subcommand start" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand stop" -l node -d 'The node, 1 or 2; default: this one' -r
complete -c tandem -n "__fish_tandem_using_subcommand stop" -l module -d 'The module; default: the only one' -r
complete -c tandem -n "__fish_tandem_using_subcommand stop" -l timeout -d 'How long to wait for the end; default: no limit' -r
complete -c tandem -n "__fish_tandem_using_subcommand stop" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand stop" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand stop" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand stop" -l no-wait -d 'Only begins, and says the job\'s name'
complete -c tandem -n "__fish_tandem_using_subcommand stop" -l all -d 'Both nodes (start, stop): a stop brings both copies level first'
complete -c tandem -n "__fish_tandem_using_subcommand stop" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand restart" -l node -d 'The node, 1 or 2; default: this one' -r
complete -c tandem -n "__fish_tandem_using_subcommand restart" -l module -d 'The module; default: the only one' -r
complete -c tandem -n "__fish_tandem_using_subcommand restart" -l timeout -d 'How long to wait for the end; default: no limit' -r
complete -c tandem -n "__fish_tandem_using_subcommand restart" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand restart" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand restart" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand restart" -l no-wait -d 'Only begins, and says the job\'s name'
complete -c tandem -n "__fish_tandem_using_subcommand restart" -l all -d 'Both nodes (start, stop): a stop brings both copies level first'
complete -c tandem -n "__fish_tandem_using_subcommand restart" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand stopstart" -l node -d 'The node, 1 or 2; default: this one' -r
complete -c tandem -n "__fish_tandem_using_subcommand stopstart" -l module -d 'The module; default: the only one' -r
complete -c tandem -n "__fish_tandem_using_subcommand stopstart" -l timeout -d 'How long to wait for the end; default: no limit' -r
complete -c tandem -n "__fish_tandem_using_subcommand stopstart" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand stopstart" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand stopstart" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand stopstart" -l no-wait -d 'Only begins, and says the job\'s name'
complete -c tandem -n "__fish_tandem_using_subcommand stopstart" -l all -d 'Both nodes (start, stop): a stop brings both copies level first'
complete -c tandem -n "__fish_tandem_using_subcommand stopstart" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand swap" -l node -d 'The node, 1 or 2; default: this one' -r
complete -c tandem -n "__fish_tandem_using_subcommand swap" -l module -d 'The module; default: the only one' -r
complete -c tandem -n "__fish_tandem_using_subcommand swap" -l timeout -d 'How long to wait for the end; default: no limit' -r
complete -c tandem -n "__fish_tandem_using_subcommand swap" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand swap" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand swap" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand swap" -l no-wait -d 'Only begins, and says the job\'s name'
complete -c tandem -n "__fish_tandem_using_subcommand swap" -l all -d 'Both nodes (start, stop): a stop brings both copies level first'
complete -c tandem -n "__fish_tandem_using_subcommand swap" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand prim" -l node -d 'The node, 1 or 2; default: this one' -r
complete -c tandem -n "__fish_tandem_using_subcommand prim" -l module -d 'The module; default: the only one' -r
complete -c tandem -n "__fish_tandem_using_subcommand prim" -l timeout -d 'How long to wait for the end; default: no limit' -r
complete -c tandem -n "__fish_tandem_using_subcommand prim" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand prim" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand prim" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand prim" -l force -d 'Serve whatever is there, even where the other node may have newer data. The other node must be off'
complete -c tandem -n "__fish_tandem_using_subcommand prim" -l no-wait -d 'Only begins, and says the job\'s name'
complete -c tandem -n "__fish_tandem_using_subcommand prim" -l all -d 'Both nodes (start, stop): a stop brings both copies level first'
complete -c tandem -n "__fish_tandem_using_subcommand prim" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand second" -l node -d 'The node, 1 or 2; default: this one' -r
complete -c tandem -n "__fish_tandem_using_subcommand second" -l module -d 'The module; default: the only one' -r
complete -c tandem -n "__fish_tandem_using_subcommand second" -l timeout -d 'How long to wait for the end; default: no limit' -r
complete -c tandem -n "__fish_tandem_using_subcommand second" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand second" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand second" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand second" -l full-sync -d 'Believe nothing of its copy, also of a standby\'s: compare all of it with the primary\'s by hash. Until that is done the node cannot take over'
complete -c tandem -n "__fish_tandem_using_subcommand second" -l no-wait -d 'Only begins, and says the job\'s name'
complete -c tandem -n "__fish_tandem_using_subcommand second" -l all -d 'Both nodes (start, stop): a stop brings both copies level first'
complete -c tandem -n "__fish_tandem_using_subcommand second" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand failover" -l node -d 'The node, 1 or 2; default: this one' -r
complete -c tandem -n "__fish_tandem_using_subcommand failover" -l module -d 'The module; default: the only one' -r
complete -c tandem -n "__fish_tandem_using_subcommand failover" -l timeout -d 'How long to wait for the end; default: no limit' -r
complete -c tandem -n "__fish_tandem_using_subcommand failover" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand failover" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand failover" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand failover" -l no-wait -d 'Only begins, and says the job\'s name'
complete -c tandem -n "__fish_tandem_using_subcommand failover" -l all -d 'Both nodes (start, stop): a stop brings both copies level first'
complete -c tandem -n "__fish_tandem_using_subcommand failover" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand checkers" -l node -d 'The node, 1 or 2; default: this one' -r
complete -c tandem -n "__fish_tandem_using_subcommand checkers" -l module -d 'The module; default: the only one' -r
complete -c tandem -n "__fish_tandem_using_subcommand checkers" -l timeout -d 'How long to wait for the end; default: no limit' -r
complete -c tandem -n "__fish_tandem_using_subcommand checkers" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand checkers" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand checkers" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand checkers" -l no-wait -d 'Only begins, and says the job\'s name'
complete -c tandem -n "__fish_tandem_using_subcommand checkers" -l all -d 'Both nodes (start, stop): a stop brings both copies level first'
complete -c tandem -n "__fish_tandem_using_subcommand checkers" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand boot" -l node -d 'The node, 1 or 2; default: this one' -r
complete -c tandem -n "__fish_tandem_using_subcommand boot" -l module -d 'The module; default: the only one' -r
complete -c tandem -n "__fish_tandem_using_subcommand boot" -l timeout -d 'How long to wait for the end; default: no limit' -r
complete -c tandem -n "__fish_tandem_using_subcommand boot" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand boot" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand boot" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand boot" -l no-wait -d 'Only begins, and says the job\'s name'
complete -c tandem -n "__fish_tandem_using_subcommand boot" -l all -d 'Both nodes (start, stop): a stop brings both copies level first'
complete -c tandem -n "__fish_tandem_using_subcommand boot" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand verify" -l node -d 'The node that serves, 1 or 2; default: whichever does' -r
complete -c tandem -n "__fish_tandem_using_subcommand verify" -l module -d 'The module; default: the only one' -r
complete -c tandem -n "__fish_tandem_using_subcommand verify" -l timeout -d 'How long to wait for the end; default: no limit' -r
complete -c tandem -n "__fish_tandem_using_subcommand verify" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand verify" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand verify" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand verify" -l no-wait -d 'Only begins, and says the job\'s name; `tandem status` says what it comes to'
complete -c tandem -n "__fish_tandem_using_subcommand verify" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand estimate" -l module -d 'The module; default: all' -r
complete -c tandem -n "__fish_tandem_using_subcommand estimate" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand estimate" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand estimate" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand estimate" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand support" -s o -l output -d 'The file; `-` for the output; default: tandem-support-NODE-TIME.tar.gz here' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand support" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand support" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand support" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand support" -l anonymise -d 'Numbers instead of names and addresses'
complete -c tandem -n "__fish_tandem_using_subcommand support" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand user; and not __fish_seen_subcommand_from list add reset remove" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and not __fish_seen_subcommand_from list add reset remove" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and not __fish_seen_subcommand_from list add reset remove" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and not __fish_seen_subcommand_from list add reset remove" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand user; and not __fish_seen_subcommand_from list add reset remove" -f -a "list" -d 'Lists them'
complete -c tandem -n "__fish_tandem_using_subcommand user; and not __fish_seen_subcommand_from list add reset remove" -f -a "add" -d 'Adds one'
complete -c tandem -n "__fish_tandem_using_subcommand user; and not __fish_seen_subcommand_from list add reset remove" -f -a "reset" -d 'Gives one a new password, and ends its sessions'
complete -c tandem -n "__fish_tandem_using_subcommand user; and not __fish_seen_subcommand_from list add reset remove" -f -a "remove" -d 'Removes one'
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from list" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from list" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from list" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from add" -l role -d 'What it may do' -r -f -a "monitor\t''
control\t''
admin\t''"
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from add" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from add" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from add" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from reset" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from reset" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from reset" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from reset" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from remove" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from remove" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from remove" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand user; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand console; and not __fish_seen_subcommand_from https http" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand console; and not __fish_seen_subcommand_from https http" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand console; and not __fish_seen_subcommand_from https http" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand console; and not __fish_seen_subcommand_from https http" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand console; and not __fish_seen_subcommand_from https http" -f -a "https" -d 'Encrypted; makes a certificate if there is none in STATE_DIR/https'
complete -c tandem -n "__fish_tandem_using_subcommand console; and not __fish_seen_subcommand_from https http" -f -a "http" -d 'Not encrypted: passwords can be read on the network'
complete -c tandem -n "__fish_tandem_using_subcommand console; and __fish_seen_subcommand_from https" -l certificate -d 'Your own one, as PEM, with those that it is signed with' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand console; and __fish_seen_subcommand_from https" -l key -d 'The key of your own one, as PEM' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand console; and __fish_seen_subcommand_from https" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand console; and __fish_seen_subcommand_from https" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand console; and __fish_seen_subcommand_from https" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand console; and __fish_seen_subcommand_from https" -l renew -d 'Makes a new one, whatever there is'
complete -c tandem -n "__fish_tandem_using_subcommand console; and __fish_seen_subcommand_from https" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand console; and __fish_seen_subcommand_from http" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand console; and __fish_seen_subcommand_from http" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand console; and __fish_seen_subcommand_from http" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand console; and __fish_seen_subcommand_from http" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand check" -l module -d 'The module; default: all' -r
complete -c tandem -n "__fish_tandem_using_subcommand check" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand check" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand check" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand check" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand explain" -l other -d 'The state directory of the other node, copied here, when its daemon does not answer' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand explain" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand explain" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand explain" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand explain" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand license; and not __fish_seen_subcommand_from add status request issue" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and not __fish_seen_subcommand_from add status request issue" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and not __fish_seen_subcommand_from add status request issue" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and not __fish_seen_subcommand_from add status request issue" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand license; and not __fish_seen_subcommand_from add status request issue" -f -a "add" -d 'Puts a licence in place on this node, if it is valid here; the other node needs the same one'
complete -c tandem -n "__fish_tandem_using_subcommand license; and not __fish_seen_subcommand_from add status request issue" -f -a "status" -d 'Says whether this node is licensed, and how long each module runs without'
complete -c tandem -n "__fish_tandem_using_subcommand license; and not __fish_seen_subcommand_from add status request issue" -f -a "request" -d 'Prints what whoever issues licences has to know'
complete -c tandem -n "__fish_tandem_using_subcommand license; and not __fish_seen_subcommand_from add status request issue" -f -a "issue" -d 'For whoever holds the signing key: prints a licence'
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from add" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from add" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from add" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from status" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from status" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from status" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from request" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from request" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from request" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from request" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from issue" -l key -d 'The seed of an Ed25519 key, 64 hexadecimal digits (`openssl rand -hex 32`)' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from issue" -l cluster -d 'The cluster\'s identifier, as `license request` prints it' -r
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from issue" -l licensee -d 'Whose licence it is' -r
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from issue" -l expires -d 'The last day on which it counts, as 2027-12-31, or never' -r
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from issue" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from issue" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from issue" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from issue" -l public -d 'Prints the public half instead, which a build takes as TANDEM_LICENSE_KEY'
complete -c tandem -n "__fish_tandem_using_subcommand license; and __fish_seen_subcommand_from issue" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand config; and not __fish_seen_subcommand_from check backup restore plan apply" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and not __fish_seen_subcommand_from check backup restore plan apply" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and not __fish_seen_subcommand_from check backup restore plan apply" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and not __fish_seen_subcommand_from check backup restore plan apply" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand config; and not __fish_seen_subcommand_from check backup restore plan apply" -f -a "check" -d 'Checks the file, and whether this machine is as the file says; changes nothing'
complete -c tandem -n "__fish_tandem_using_subcommand config; and not __fish_seen_subcommand_from check backup restore plan apply" -f -a "backup" -d 'Writes the configuration, this node\'s keys, its licence and the console\'s certificate into a new file, which is a secret'
complete -c tandem -n "__fish_tandem_using_subcommand config; and not __fish_seen_subcommand_from check backup restore plan apply" -f -a "restore" -d 'Makes this machine the node of a backup, in place of a lost one'
complete -c tandem -n "__fish_tandem_using_subcommand config; and not __fish_seen_subcommand_from check backup restore plan apply" -f -a "plan" -d 'Says what another file would change, and what would be stopped for it; changes nothing'
complete -c tandem -n "__fish_tandem_using_subcommand config; and not __fish_seen_subcommand_from check backup restore plan apply" -f -a "apply" -d 'Puts another file in place on both nodes: says what changes, stops what has to be stopped, and starts it again'
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from check" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from check" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from check" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from backup" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from backup" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from backup" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from backup" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from restore" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from restore" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from restore" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from plan" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from plan" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from plan" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from plan" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from apply" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from apply" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from apply" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from apply" -l yes -d 'Asks nothing'
complete -c tandem -n "__fish_tandem_using_subcommand config; and __fish_seen_subcommand_from apply" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand setup; and not __fish_seen_subcommand_from secondary primary complete browser undo" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and not __fish_seen_subcommand_from secondary primary complete browser undo" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and not __fish_seen_subcommand_from secondary primary complete browser undo" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and not __fish_seen_subcommand_from secondary primary complete browser undo" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand setup; and not __fish_seen_subcommand_from secondary primary complete browser undo" -f -a "secondary" -d 'Configure the secondary computer: waits for the primary one, for 15 minutes'
complete -c tandem -n "__fish_tandem_using_subcommand setup; and not __fish_seen_subcommand_from secondary primary complete browser undo" -f -a "primary" -d 'Configure the primary computer: its data is kept, and mirrored to the secondary one'
complete -c tandem -n "__fish_tandem_using_subcommand setup; and not __fish_seen_subcommand_from secondary primary complete browser undo" -f -a "complete" -d 'On the secondary computer, when the primary one is configured: becomes the standby'
complete -c tandem -n "__fish_tandem_using_subcommand setup; and not __fish_seen_subcommand_from secondary primary complete browser undo" -f -a "browser" -d 'The same in a browser: prints where, and a code that lets one in'
complete -c tandem -n "__fish_tandem_using_subcommand setup; and not __fish_seen_subcommand_from secondary primary complete browser undo" -f -a "undo" -d 'Takes back a set-up that was interrupted; done by itself at boot, and by the next set-up'
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from secondary" -l console -d 'What browsers speak to the console; default: https, with a certificate that the node signs' -r
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from secondary" -l answers -d 'A TOML file with these options as keys; what is typed counts more' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from secondary" -l password-file -d 'Has the password in its first line, instead of a person who types it' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from secondary" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from secondary" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from secondary" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from secondary" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l peer -d 'The secondary computer: FQDN (recommended), host name or IPv4 address' -r
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l console -d 'What browsers speak to the console, as chosen on the secondary computer; default: https' -r
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l virtual-address -d 'A virtual address with its prefix, as in 192.0.2.100/24; may be repeated' -r
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l preset -d 'What is to be protected: a preset\'s name, or the path of your own' -r
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l set -d 'An answer to a question of the preset; may be repeated' -r
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l network -d 'A further network for heartbeats: this computer\'s address and the secondary\'s; may be repeated' -r
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l cluster -d 'The cluster\'s name; default: cluster1' -r
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l module -d 'The module\'s name; default: videeos' -r
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l takeover-after -d 'Silence of the primary after which the standby takes over; default: the preset\'s, or 5s' -r
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l answers -d 'A TOML file with these options as keys; what is typed counts more' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l password-file -d 'Has the password in its first line, instead of a person who types it' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from primary" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from complete" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from complete" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from complete" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from complete" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from browser" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from browser" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from browser" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from browser" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from undo" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from undo" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from undo" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand setup; and __fish_seen_subcommand_from undo" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and not __fish_seen_subcommand_from init invite join leave" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and not __fish_seen_subcommand_from init invite join leave" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and not __fish_seen_subcommand_from init invite join leave" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and not __fish_seen_subcommand_from init invite join leave" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and not __fish_seen_subcommand_from init invite join leave" -f -a "init" -d 'On node1: makes the keys of a new cluster and says how node2 joins'
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and not __fish_seen_subcommand_from init invite join leave" -f -a "invite" -d 'On node1: says again how node2 joins (the first word lasts for 15 minutes)'
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and not __fish_seen_subcommand_from init invite join leave" -f -a "join" -d 'On node2: joins the cluster, as `cluster init` on node1 says'
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and not __fish_seen_subcommand_from init invite join leave" -f -a "leave" -d 'Takes this node out of its cluster: keys and state are removed, the units start at boot as before, the data stays as a plain directory'
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from init" -l offline -d 'For tests and images: writes the keys of both nodes into two state directories at once' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from init" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from init" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from init" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from init" -l wait -d 'Waits here until node2 has joined, instead of in the background'
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from invite" -l wait -d 'Waits here until node2 has joined, instead of in the background'
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from invite" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from join" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from join" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from join" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from join" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from leave" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from leave" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from leave" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from leave" -l keep -d 'Leaves the `.tandem` directories in the volumes, which say where the copies stand'
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from leave" -l stop -d 'Stops this node and its daemon first; refused while it serves'
complete -c tandem -n "__fish_tandem_using_subcommand cluster; and __fish_seen_subcommand_from leave" -s h -l help -d 'Print help'
complete -c tandem -n "__fish_tandem_using_subcommand demo" -l takeover-after -d 'Silence of the primary after which the standby takes over. With less than the default a slow disk is soon taken for a standby that does not answer' -r
complete -c tandem -n "__fish_tandem_using_subcommand demo" -l config -d 'The configuration, the same on both nodes' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand demo" -l state-dir -d 'Identity, token and state of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand demo" -l runtime-dir -d 'Sockets of this node' -r -F
complete -c tandem -n "__fish_tandem_using_subcommand demo" -l clean -d 'Removes what a demonstration left running (`KEEP=1`), and the logs of one that failed'
complete -c tandem -n "__fish_tandem_using_subcommand demo" -l fast -d 'Shortens the quiet parts of the show'
complete -c tandem -n "__fish_tandem_using_subcommand demo" -s h -l help -d 'Print help'
