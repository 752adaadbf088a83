// Package cli is the command line of the only binary, qkv: the server, its client and its tools.
//
// # Promises to scripts
//
//   - Exit codes: 0 ok. 1 failed. 2 usage or refused configuration. 3 a key, a lease or a member was not found (an empty range is 0). 4 a
//     condition failed, or the members refuse a membership change. 5 unavailable. 6 not allowed, or this member was removed. 7 outcome
//     unknown. 8 the disk failed. 130 after Ctrl-C, 143 after SIGTERM, and 128 plus its number after any other signal. Exceptions: after
//     SIGTERM or SIGHUP, a member ends with 0, and so do lock and elect when they have released their lock or leadership. A member with
//     --config reads its file again at SIGHUP, and does not end.
//   - stdout holds the answer and nothing else. Messages, names of skipped files and progress go to stderr.
//   - Once serve has begun, all its messages have the format of its log: in JSON, each line names the member.
//   - `-w json` prints one compact line for each answer; its names and their order stay. A key or value that is not UTF-8
//     comes as key_base64 or value_base64 instead of key or value.
//   - Flags work before and after arguments; `--` ends them. An unknown flag is refused with exit code 2, before anything
//     else is done: a misspelt --serializable must not become a linearizable read.
//   - Every flag has an environment variable: QKV_FLAG for flags of all commands or of serve, and QKV_COMMAND_FLAG for flags
//     of one command. A variable set for `get` therefore cannot enlarge a `del`. The command line has priority over variables, and
//     variables over the file of --config.
//     An unknown QKV_ variable is refused by name, with exit code 2.
//   - --timeout bounds a command. The duration of import and export depends on the number of files, and that of member replace on the new
//     member: in these commands --timeout bounds the wait for each answer.
//
// # Structure
//
// [Run] takes one line. Package form moves flags before arguments (argv.go), because urfave/cli stops looking for flags at
// the first argument, prints the help (help.go), connects to a cluster (dial.go) and prints answers. The commands are in
// packages by what they work on:
//
//	keys     keys, their history and their leases
//	cluster  members, users and certificates
//	data     files of a member and of a backup; Linux only
//	run      members, as this process or as processes of their own; Linux only
//
// A command is a section of commands.txt of package form: its name, its arguments, its help, its examples and its flags.
// The function Commands of a package has its call, which is in a file of the command's name. A process that runs a member
// executes its program again to get a timer slack of 1 ms, unless a supervisor has set another one (timerslack.go of
// package form).
//
// Errors say what failed, why, and what to do next. An error with its own exit code is a form.ExitError, or a member's
// answer (kv.Error). All other errors have exit code 1.
package cli
