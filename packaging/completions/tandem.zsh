#compdef tandem

autoload -U is-at-least

_tandem() {
    typeset -A opt_args
    typeset -a _arguments_options
    local ret=1

    if is-at-least 5.2; then
        _arguments_options=(-s -S -C)
    else
        _arguments_options=(-s -C)
    fi

    local context curcontext="$curcontext" state line
    _arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_tandem_commands" \
"*::: :->tandem" \
&& ret=0
    case $state in
    (tandem)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:tandem-command-$line[1]:"
        case $line[1] in
            (daemon)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(mirror)
_arguments "${_arguments_options[@]}" : \
'--module=[The module]:MODULE:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(guard)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--json[In JSON, for scripts]' \
'--watch[Shows it again whenever it changes]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(top)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(doctor)
_arguments "${_arguments_options[@]}" : \
'--peer=[Before set-up\: where the other node will be]:ADDRESS:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--json[In JSON, for scripts\: result and findings, each ok, unknown, warning or failed]' \
'--all[Also shows what is as it should be]' \
'--fix[Repairs what can be repaired on this node, and looks again]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(start)
_arguments "${_arguments_options[@]}" : \
'--node=[The node, 1 or 2; default\: this one]:N:_default' \
'--module=[The module; default\: the only one]:MODULE:_default' \
'--timeout=[How long to wait for the end; default\: no limit]:DURATION:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--no-wait[Only begins, and says the job'\''s name]' \
'(--node)--all[Both nodes (start, stop)\: a stop brings both copies level first]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(stop)
_arguments "${_arguments_options[@]}" : \
'--node=[The node, 1 or 2; default\: this one]:N:_default' \
'--module=[The module; default\: the only one]:MODULE:_default' \
'--timeout=[How long to wait for the end; default\: no limit]:DURATION:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--no-wait[Only begins, and says the job'\''s name]' \
'(--node)--all[Both nodes (start, stop)\: a stop brings both copies level first]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(restart)
_arguments "${_arguments_options[@]}" : \
'--node=[The node, 1 or 2; default\: this one]:N:_default' \
'--module=[The module; default\: the only one]:MODULE:_default' \
'--timeout=[How long to wait for the end; default\: no limit]:DURATION:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--no-wait[Only begins, and says the job'\''s name]' \
'(--node)--all[Both nodes (start, stop)\: a stop brings both copies level first]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(stopstart)
_arguments "${_arguments_options[@]}" : \
'--node=[The node, 1 or 2; default\: this one]:N:_default' \
'--module=[The module; default\: the only one]:MODULE:_default' \
'--timeout=[How long to wait for the end; default\: no limit]:DURATION:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--no-wait[Only begins, and says the job'\''s name]' \
'(--node)--all[Both nodes (start, stop)\: a stop brings both copies level first]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(swap)
_arguments "${_arguments_options[@]}" : \
'--node=[The node, 1 or 2; default\: this one]:N:_default' \
'--module=[The module; default\: the only one]:MODULE:_default' \
'--timeout=[How long to wait for the end; default\: no limit]:DURATION:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--no-wait[Only begins, and says the job'\''s name]' \
'(--node)--all[Both nodes (start, stop)\: a stop brings both copies level first]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(prim)
_arguments "${_arguments_options[@]}" : \
'--node=[The node, 1 or 2; default\: this one]:N:_default' \
'--module=[The module; default\: the only one]:MODULE:_default' \
'--timeout=[How long to wait for the end; default\: no limit]:DURATION:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--force[Serve whatever is there, even where the other node may have newer data. The other node must be off]' \
'--no-wait[Only begins, and says the job'\''s name]' \
'(--node)--all[Both nodes (start, stop)\: a stop brings both copies level first]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(second)
_arguments "${_arguments_options[@]}" : \
'--node=[The node, 1 or 2; default\: this one]:N:_default' \
'--module=[The module; default\: the only one]:MODULE:_default' \
'--timeout=[How long to wait for the end; default\: no limit]:DURATION:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--full-sync[Believe nothing of its copy, also of a standby'\''s\: compare all of it with the primary'\''s by hash. Until that is done the node cannot take over]' \
'--no-wait[Only begins, and says the job'\''s name]' \
'(--node)--all[Both nodes (start, stop)\: a stop brings both copies level first]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(failover)
_arguments "${_arguments_options[@]}" : \
'--node=[The node, 1 or 2; default\: this one]:N:_default' \
'--module=[The module; default\: the only one]:MODULE:_default' \
'--timeout=[How long to wait for the end; default\: no limit]:DURATION:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--no-wait[Only begins, and says the job'\''s name]' \
'(--node)--all[Both nodes (start, stop)\: a stop brings both copies level first]' \
'-h[Print help]' \
'--help[Print help]' \
':on -- The position:_default' \
&& ret=0
;;
(checkers)
_arguments "${_arguments_options[@]}" : \
'--node=[The node, 1 or 2; default\: this one]:N:_default' \
'--module=[The module; default\: the only one]:MODULE:_default' \
'--timeout=[How long to wait for the end; default\: no limit]:DURATION:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--no-wait[Only begins, and says the job'\''s name]' \
'(--node)--all[Both nodes (start, stop)\: a stop brings both copies level first]' \
'-h[Print help]' \
'--help[Print help]' \
':on -- The position:_default' \
&& ret=0
;;
(boot)
_arguments "${_arguments_options[@]}" : \
'--node=[The node, 1 or 2; default\: this one]:N:_default' \
'--module=[The module; default\: the only one]:MODULE:_default' \
'--timeout=[How long to wait for the end; default\: no limit]:DURATION:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--no-wait[Only begins, and says the job'\''s name]' \
'(--node)--all[Both nodes (start, stop)\: a stop brings both copies level first]' \
'-h[Print help]' \
'--help[Print help]' \
':on -- The position:_default' \
&& ret=0
;;
(verify)
_arguments "${_arguments_options[@]}" : \
'--node=[The node that serves, 1 or 2; default\: whichever does]:N:_default' \
'--module=[The module; default\: the only one]:MODULE:_default' \
'--timeout=[How long to wait for the end; default\: no limit]:DURATION:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--no-wait[Only begins, and says the job'\''s name; \`tandem status\` says what it comes to]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(estimate)
_arguments "${_arguments_options[@]}" : \
'--module=[The module; default\: all]:MODULE:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(support)
_arguments "${_arguments_options[@]}" : \
'-o+[The file; \`-\` for the output; default\: tandem-support-NODE-TIME.tar.gz here]:OUTPUT:_files' \
'--output=[The file; \`-\` for the output; default\: tandem-support-NODE-TIME.tar.gz here]:OUTPUT:_files' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--anonymise[Numbers instead of names and addresses]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(user)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
":: :_tandem__subcmd__user_commands" \
"*::: :->user" \
&& ret=0

    case $state in
    (user)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:tandem-user-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(add)
_arguments "${_arguments_options[@]}" : \
'--role=[What it may do]:ROLE:(monitor control admin)' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Its name:_default' \
&& ret=0
;;
(reset)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Its name:_default' \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Its name:_default' \
&& ret=0
;;
        esac
    ;;
esac
;;
(console)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
":: :_tandem__subcmd__console_commands" \
"*::: :->console" \
&& ret=0

    case $state in
    (console)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:tandem-console-command-$line[1]:"
        case $line[1] in
            (https)
_arguments "${_arguments_options[@]}" : \
'--certificate=[Your own one, as PEM, with those that it is signed with]:FILE:_files' \
'--key=[The key of your own one, as PEM]:FILE:_files' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'(--certificate)--renew[Makes a new one, whatever there is]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(http)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
        esac
    ;;
esac
;;
(check)
_arguments "${_arguments_options[@]}" : \
'--module=[The module; default\: all]:MODULE:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(explain)
_arguments "${_arguments_options[@]}" : \
'--other=[The state directory of the other node, copied here, when its daemon does not answer]:DIR:_files' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
'::topic -- `emergency`:(emergency)' \
&& ret=0
;;
(license)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
":: :_tandem__subcmd__license_commands" \
"*::: :->license" \
&& ret=0

    case $state in
    (license)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:tandem-license-command-$line[1]:"
        case $line[1] in
            (add)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
':file -- The licence:_files' \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(request)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(issue)
_arguments "${_arguments_options[@]}" : \
'--key=[The seed of an Ed25519 key, 64 hexadecimal digits (\`openssl rand -hex 32\`)]:FILE:_files' \
'--cluster=[The cluster'\''s identifier, as \`license request\` prints it]:CLUSTER:_default' \
'--licensee=[Whose licence it is]:LICENSEE:_default' \
'--expires=[The last day on which it counts, as 2027-12-31, or never]:DAY:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--public[Prints the public half instead, which a build takes as TANDEM_LICENSE_KEY]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
        esac
    ;;
esac
;;
(config)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
":: :_tandem__subcmd__config_commands" \
"*::: :->config" \
&& ret=0

    case $state in
    (config)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:tandem-config-command-$line[1]:"
        case $line[1] in
            (check)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(backup)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
':file -- The file:_files' \
&& ret=0
;;
(restore)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
':file -- The file:_files' \
&& ret=0
;;
(plan)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
':file -- The new file:_files' \
&& ret=0
;;
(apply)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--yes[Asks nothing]' \
'-h[Print help]' \
'--help[Print help]' \
':file -- The new file:_files' \
&& ret=0
;;
        esac
    ;;
esac
;;
(setup)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
":: :_tandem__subcmd__setup_commands" \
"*::: :->setup" \
&& ret=0

    case $state in
    (setup)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:tandem-setup-command-$line[1]:"
        case $line[1] in
            (secondary)
_arguments "${_arguments_options[@]}" : \
'--console=[What browsers speak to the console; default\: https, with a certificate that the node signs]:http|https:_default' \
'--answers=[A TOML file with these options as keys; what is typed counts more]:FILE:_files' \
'--password-file=[Has the password in its first line, instead of a person who types it]:FILE:_files' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(primary)
_arguments "${_arguments_options[@]}" : \
'--peer=[The secondary computer\: FQDN (recommended), host name or IPv4 address]:HOST:_default' \
'--console=[What browsers speak to the console, as chosen on the secondary computer; default\: https]:http|https:_default' \
'*--virtual-address=[A virtual address with its prefix, as in 192.0.2.100/24; may be repeated]:ADDRESS/PREFIX:_default' \
'--preset=[What is to be protected\: a preset'\''s name, or the path of your own]:PRESET:_default' \
'*--set=[An answer to a question of the preset; may be repeated]:KEY=VALUE:_default' \
'*--network=[A further network for heartbeats\: this computer'\''s address and the secondary'\''s; may be repeated]:ADDRESS1,ADDRESS2:_default' \
'--cluster=[The cluster'\''s name; default\: cluster1]:NAME:_default' \
'--module=[The module'\''s name; default\: videeos]:NAME:_default' \
'--takeover-after=[Silence of the primary after which the standby takes over; default\: the preset'\''s, or 5s]:DURATION:_default' \
'--answers=[A TOML file with these options as keys; what is typed counts more]:FILE:_files' \
'--password-file=[Has the password in its first line, instead of a person who types it]:FILE:_files' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(complete)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(browser)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(undo)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
        esac
    ;;
esac
;;
(cluster)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
":: :_tandem__subcmd__cluster_commands" \
"*::: :->cluster" \
&& ret=0

    case $state in
    (cluster)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:tandem-cluster-command-$line[1]:"
        case $line[1] in
            (init)
_arguments "${_arguments_options[@]}" : \
'*--offline=[For tests and images\: writes the keys of both nodes into two state directories at once]:STATE_DIR1:_files:STATE_DIR1:_files' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--wait[Waits here until node2 has joined, instead of in the background]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(invite)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--wait[Waits here until node2 has joined, instead of in the background]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(join)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
':address -- node1'\''s address and port:_default' \
':token -- What `cluster init` printed:_default' \
&& ret=0
;;
(leave)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--keep[Leaves the \`.tandem\` directories in the volumes, which say where the copies stand]' \
'--stop[Stops this node and its daemon first; refused while it serves]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
        esac
    ;;
esac
;;
(demo)
_arguments "${_arguments_options[@]}" : \
'--takeover-after=[Silence of the primary after which the standby takes over. With less than the default a slow disk is soon taken for a standby that does not answer]:DURATION:_default' \
'--config=[The configuration, the same on both nodes]:FILE:_files' \
'--state-dir=[Identity, token and state of this node]:DIR:_files' \
'--runtime-dir=[Sockets of this node]:DIR:_files' \
'--clean[Removes what a demonstration left running (\`KEEP=1\`), and the logs of one that failed]' \
'--fast[Shortens the quiet parts of the show]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
        esac
    ;;
esac
}

(( $+functions[_tandem_commands] )) ||
_tandem_commands() {
    local commands; commands=(
'daemon:Runs the daemon of this node' \
'mirror:Runs the mirror of one module on this node (started by the daemon)' \
'guard:Makes the directories of all volumes read-only until a node serves (at boot)' \
'status:Shows both nodes' \
'top:Shows both nodes in the terminal, live' \
'doctor:Looks at this machine, the other node and what is between them, before set-up and at any time; exit status 1\: something failed, 6\: the other node could not be asked' \
'start:Starts a node; it picks its role by itself' \
'stop:Stops a node; the other one takes over if it can' \
'restart:Restarts the services in place, without a failover' \
'stopstart:Stops a node and starts it again; on the primary this is a failover' \
'swap:Exchanges the roles of the nodes' \
'prim:Lets a node serve\: the answer to the first start, or to a WAIT' \
'second:Starts a node as standby; gives up its side of a divergence' \
'failover:Lets the service move between the nodes by itself, or not; both nodes, unless one is named' \
'checkers:Lets what checkers and services report have consequences, or not; both nodes, unless one is named' \
'boot:Lets a node start the module by itself after a boot, or not; both nodes, unless one is named' \
'verify:Compares both copies while the application works, and repairs the standby'\''s where it is not the same; exit status 0\: they are equal, 1\: they were not, or it did not get to its end' \
'estimate:Says how much a synchronisation has to compare, and how long that took last time' \
'support:Writes what a person who helps needs to see, without secrets, into one file' \
'user:Who may use the console' \
'console:How browsers reach the console of this node' \
'check:Says in one line how a module is, for Nagios, Icinga and Zabbix; exit status 0\: good, 1\: warning, 2\: critical, 3\: unknown' \
'explain:Says from both nodes'\'' state files what each node knows, and the safe next step; \`explain emergency\`\: how to run the application without Tandem' \
'license:The licence' \
'config:The configuration file' \
'setup:Makes a protected pair of two servers\: on the second server first, then on the first one, then \`complete\` on the second. Asks; or takes flags or a file with answers' \
'cluster:The keys of the two nodes' \
'demo:Shows on one machine what happens when a server loses power (as root)' \
    )
    _describe -t commands 'tandem commands' commands "$@"
}
(( $+functions[_tandem__subcmd__boot_commands] )) ||
_tandem__subcmd__boot_commands() {
    local commands; commands=()
    _describe -t commands 'tandem boot commands' commands "$@"
}
(( $+functions[_tandem__subcmd__check_commands] )) ||
_tandem__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'tandem check commands' commands "$@"
}
(( $+functions[_tandem__subcmd__checkers_commands] )) ||
_tandem__subcmd__checkers_commands() {
    local commands; commands=()
    _describe -t commands 'tandem checkers commands' commands "$@"
}
(( $+functions[_tandem__subcmd__cluster_commands] )) ||
_tandem__subcmd__cluster_commands() {
    local commands; commands=(
'init:On node1\: makes the keys of a new cluster and says how node2 joins' \
'invite:On node1\: says again how node2 joins (the first word lasts for 15 minutes)' \
'join:On node2\: joins the cluster, as \`cluster init\` on node1 says' \
'leave:Takes this node out of its cluster\: keys and state are removed, the units start at boot as before, the data stays as a plain directory' \
    )
    _describe -t commands 'tandem cluster commands' commands "$@"
}
(( $+functions[_tandem__subcmd__cluster__subcmd__init_commands] )) ||
_tandem__subcmd__cluster__subcmd__init_commands() {
    local commands; commands=()
    _describe -t commands 'tandem cluster init commands' commands "$@"
}
(( $+functions[_tandem__subcmd__cluster__subcmd__invite_commands] )) ||
_tandem__subcmd__cluster__subcmd__invite_commands() {
    local commands; commands=()
    _describe -t commands 'tandem cluster invite commands' commands "$@"
}
(( $+functions[_tandem__subcmd__cluster__subcmd__join_commands] )) ||
_tandem__subcmd__cluster__subcmd__join_commands() {
    local commands; commands=()
    _describe -t commands 'tandem cluster join commands' commands "$@"
}
(( $+functions[_tandem__subcmd__cluster__subcmd__leave_commands] )) ||
_tandem__subcmd__cluster__subcmd__leave_commands() {
    local commands; commands=()
    _describe -t commands 'tandem cluster leave commands' commands "$@"
}
(( $+functions[_tandem__subcmd__config_commands] )) ||
_tandem__subcmd__config_commands() {
    local commands; commands=(
'check:Checks the file, and whether this machine is as the file says; changes nothing' \
'backup:Writes the configuration, this node'\''s keys, its licence and the console'\''s certificate into a new file, which is a secret' \
'restore:Makes this machine the node of a backup, in place of a lost one' \
'plan:Says what another file would change, and what would be stopped for it; changes nothing' \
'apply:Puts another file in place on both nodes\: says what changes, stops what has to be stopped, and starts it again' \
    )
    _describe -t commands 'tandem config commands' commands "$@"
}
(( $+functions[_tandem__subcmd__config__subcmd__apply_commands] )) ||
_tandem__subcmd__config__subcmd__apply_commands() {
    local commands; commands=()
    _describe -t commands 'tandem config apply commands' commands "$@"
}
(( $+functions[_tandem__subcmd__config__subcmd__backup_commands] )) ||
_tandem__subcmd__config__subcmd__backup_commands() {
    local commands; commands=()
    _describe -t commands 'tandem config backup commands' commands "$@"
}
(( $+functions[_tandem__subcmd__config__subcmd__check_commands] )) ||
_tandem__subcmd__config__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'tandem config check commands' commands "$@"
}
(( $+functions[_tandem__subcmd__config__subcmd__plan_commands] )) ||
_tandem__subcmd__config__subcmd__plan_commands() {
    local commands; commands=()
    _describe -t commands 'tandem config plan commands' commands "$@"
}
(( $+functions[_tandem__subcmd__config__subcmd__restore_commands] )) ||
_tandem__subcmd__config__subcmd__restore_commands() {
    local commands; commands=()
    _describe -t commands 'tandem config restore commands' commands "$@"
}
(( $+functions[_tandem__subcmd__console_commands] )) ||
_tandem__subcmd__console_commands() {
    local commands; commands=(
'https:Encrypted; makes a certificate if there is none in STATE_DIR/https' \
'http:Not encrypted\: passwords can be read on the network' \
    )
    _describe -t commands 'tandem console commands' commands "$@"
}
(( $+functions[_tandem__subcmd__console__subcmd__http_commands] )) ||
_tandem__subcmd__console__subcmd__http_commands() {
    local commands; commands=()
    _describe -t commands 'tandem console http commands' commands "$@"
}
(( $+functions[_tandem__subcmd__console__subcmd__https_commands] )) ||
_tandem__subcmd__console__subcmd__https_commands() {
    local commands; commands=()
    _describe -t commands 'tandem console https commands' commands "$@"
}
(( $+functions[_tandem__subcmd__daemon_commands] )) ||
_tandem__subcmd__daemon_commands() {
    local commands; commands=()
    _describe -t commands 'tandem daemon commands' commands "$@"
}
(( $+functions[_tandem__subcmd__demo_commands] )) ||
_tandem__subcmd__demo_commands() {
    local commands; commands=()
    _describe -t commands 'tandem demo commands' commands "$@"
}
(( $+functions[_tandem__subcmd__doctor_commands] )) ||
_tandem__subcmd__doctor_commands() {
    local commands; commands=()
    _describe -t commands 'tandem doctor commands' commands "$@"
}
(( $+functions[_tandem__subcmd__estimate_commands] )) ||
_tandem__subcmd__estimate_commands() {
    local commands; commands=()
    _describe -t commands 'tandem estimate commands' commands "$@"
}
(( $+functions[_tandem__subcmd__explain_commands] )) ||
_tandem__subcmd__explain_commands() {
    local commands; commands=()
    _describe -t commands 'tandem explain commands' commands "$@"
}
(( $+functions[_tandem__subcmd__failover_commands] )) ||
_tandem__subcmd__failover_commands() {
    local commands; commands=()
    _describe -t commands 'tandem failover commands' commands "$@"
}
(( $+functions[_tandem__subcmd__guard_commands] )) ||
_tandem__subcmd__guard_commands() {
    local commands; commands=()
    _describe -t commands 'tandem guard commands' commands "$@"
}
(( $+functions[_tandem__subcmd__license_commands] )) ||
_tandem__subcmd__license_commands() {
    local commands; commands=(
'add:Puts a licence in place on this node, if it is valid here; the other node needs the same one' \
'status:Says whether this node is licensed, and how long each module runs without' \
'request:Prints what whoever issues licences has to know' \
'issue:For whoever holds the signing key\: prints a licence' \
    )
    _describe -t commands 'tandem license commands' commands "$@"
}
(( $+functions[_tandem__subcmd__license__subcmd__add_commands] )) ||
_tandem__subcmd__license__subcmd__add_commands() {
    local commands; commands=()
    _describe -t commands 'tandem license add commands' commands "$@"
}
(( $+functions[_tandem__subcmd__license__subcmd__issue_commands] )) ||
_tandem__subcmd__license__subcmd__issue_commands() {
    local commands; commands=()
    _describe -t commands 'tandem license issue commands' commands "$@"
}
(( $+functions[_tandem__subcmd__license__subcmd__request_commands] )) ||
_tandem__subcmd__license__subcmd__request_commands() {
    local commands; commands=()
    _describe -t commands 'tandem license request commands' commands "$@"
}
(( $+functions[_tandem__subcmd__license__subcmd__status_commands] )) ||
_tandem__subcmd__license__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'tandem license status commands' commands "$@"
}
(( $+functions[_tandem__subcmd__mirror_commands] )) ||
_tandem__subcmd__mirror_commands() {
    local commands; commands=()
    _describe -t commands 'tandem mirror commands' commands "$@"
}
(( $+functions[_tandem__subcmd__prim_commands] )) ||
_tandem__subcmd__prim_commands() {
    local commands; commands=()
    _describe -t commands 'tandem prim commands' commands "$@"
}
(( $+functions[_tandem__subcmd__restart_commands] )) ||
_tandem__subcmd__restart_commands() {
    local commands; commands=()
    _describe -t commands 'tandem restart commands' commands "$@"
}
(( $+functions[_tandem__subcmd__second_commands] )) ||
_tandem__subcmd__second_commands() {
    local commands; commands=()
    _describe -t commands 'tandem second commands' commands "$@"
}
(( $+functions[_tandem__subcmd__setup_commands] )) ||
_tandem__subcmd__setup_commands() {
    local commands; commands=(
'secondary:Configure the secondary computer\: waits for the primary one, for 15 minutes' \
'primary:Configure the primary computer\: its data is kept, and mirrored to the secondary one' \
'complete:On the secondary computer, when the primary one is configured\: becomes the standby' \
'browser:The same in a browser\: prints where, and a code that lets one in' \
'undo:Takes back a set-up that was interrupted; done by itself at boot, and by the next set-up' \
    )
    _describe -t commands 'tandem setup commands' commands "$@"
}
(( $+functions[_tandem__subcmd__setup__subcmd__browser_commands] )) ||
_tandem__subcmd__setup__subcmd__browser_commands() {
    local commands; commands=()
    _describe -t commands 'tandem setup browser commands' commands "$@"
}
(( $+functions[_tandem__subcmd__setup__subcmd__complete_commands] )) ||
_tandem__subcmd__setup__subcmd__complete_commands() {
    local commands; commands=()
    _describe -t commands 'tandem setup complete commands' commands "$@"
}
(( $+functions[_tandem__subcmd__setup__subcmd__primary_commands] )) ||
_tandem__subcmd__setup__subcmd__primary_commands() {
    local commands; commands=()
    _describe -t commands 'tandem setup primary commands' commands "$@"
}
(( $+functions[_tandem__subcmd__setup__subcmd__secondary_commands] )) ||
_tandem__subcmd__setup__subcmd__secondary_commands() {
    local commands; commands=()
    _describe -t commands 'tandem setup secondary commands' commands "$@"
}
(( $+functions[_tandem__subcmd__setup__subcmd__undo_commands] )) ||
_tandem__subcmd__setup__subcmd__undo_commands() {
    local commands; commands=()
    _describe -t commands 'tandem setup undo commands' commands "$@"
}
(( $+functions[_tandem__subcmd__start_commands] )) ||
_tandem__subcmd__start_commands() {
    local commands; commands=()
    _describe -t commands 'tandem start commands' commands "$@"
}
(( $+functions[_tandem__subcmd__status_commands] )) ||
_tandem__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'tandem status commands' commands "$@"
}
(( $+functions[_tandem__subcmd__stop_commands] )) ||
_tandem__subcmd__stop_commands() {
    local commands; commands=()
    _describe -t commands 'tandem stop commands' commands "$@"
}
(( $+functions[_tandem__subcmd__stopstart_commands] )) ||
_tandem__subcmd__stopstart_commands() {
    local commands; commands=()
    _describe -t commands 'tandem stopstart commands' commands "$@"
}
(( $+functions[_tandem__subcmd__support_commands] )) ||
_tandem__subcmd__support_commands() {
    local commands; commands=()
    _describe -t commands 'tandem support commands' commands "$@"
}
(( $+functions[_tandem__subcmd__swap_commands] )) ||
_tandem__subcmd__swap_commands() {
    local commands; commands=()
    _describe -t commands 'tandem swap commands' commands "$@"
}
(( $+functions[_tandem__subcmd__top_commands] )) ||
_tandem__subcmd__top_commands() {
    local commands; commands=()
    _describe -t commands 'tandem top commands' commands "$@"
}
(( $+functions[_tandem__subcmd__user_commands] )) ||
_tandem__subcmd__user_commands() {
    local commands; commands=(
'list:Lists them' \
'add:Adds one' \
'reset:Gives one a new password, and ends its sessions' \
'remove:Removes one' \
    )
    _describe -t commands 'tandem user commands' commands "$@"
}
(( $+functions[_tandem__subcmd__user__subcmd__add_commands] )) ||
_tandem__subcmd__user__subcmd__add_commands() {
    local commands; commands=()
    _describe -t commands 'tandem user add commands' commands "$@"
}
(( $+functions[_tandem__subcmd__user__subcmd__list_commands] )) ||
_tandem__subcmd__user__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'tandem user list commands' commands "$@"
}
(( $+functions[_tandem__subcmd__user__subcmd__remove_commands] )) ||
_tandem__subcmd__user__subcmd__remove_commands() {
    local commands; commands=()
    _describe -t commands 'tandem user remove commands' commands "$@"
}
(( $+functions[_tandem__subcmd__user__subcmd__reset_commands] )) ||
_tandem__subcmd__user__subcmd__reset_commands() {
    local commands; commands=()
    _describe -t commands 'tandem user reset commands' commands "$@"
}
(( $+functions[_tandem__subcmd__verify_commands] )) ||
_tandem__subcmd__verify_commands() {
    local commands; commands=()
    _describe -t commands 'tandem verify commands' commands "$@"
}

if [ "$funcstack[1]" = "_tandem" ]; then
    _tandem "$@"
else
    compdef _tandem tandem
fi
