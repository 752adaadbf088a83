// Package cli is the commands of the only binary, qkv: the server, its client and its tools, a file each.
//
// # Promises to scripts
//
//   - Exit codes: 0 ok, 1 failed, 2 usage or refused configuration, 3 a single key or a member not found (an empty
//     range is 0), 4 a condition failed, or the members do not allow a change of them, 5 unavailable, 6 not allowed, or
//     this member was removed, 7 outcome unknown, 8 the disk failed; 130 after Ctrl-C, 143 after SIGTERM, and 128 more
//     than its number after any other signal, but for a member that SIGTERM or SIGHUP stops, and for lock and elect when
//     a signal gives back what they hold, which is 0.
//   - stdout holds the answer and nothing else; messages, names of skipped files and progress go to stderr.
//   - Once serve has begun all that it says is in the format of its log: of JSON, each line names the member.
//   - `-w json` is one compact line an answer; the names in it, and their order, stay. A key or value that is not
//     UTF-8 comes as key_base64 or value_base64 in place of key or value.
//   - Flags work before and after arguments; `--` ends them. What looks like a flag and is none is refused with exit
//     code 2, before anything else is done: a misspelt --serializable must not become a linearizable read.
//   - Every flag has an environment variable: QKV_FLAG where all commands, or serve, have it, and QKV_COMMAND_FLAG
//     where it changes what one command does, so that a variable set for `get` cannot make a `del` larger. The
//     command line goes first. A QKV_ variable that no flag has is refused by name, with exit code 2. The one flag
//     without a variable is bench quick's --endpoints: nobody loads a cluster by what another command needs.
//   - --timeout bounds a command. import and export take as long as they have files, member replace as long as the new
//     member takes: there it bounds the wait for each answer.
//
// # How it is made
//
// [Run] builds the table of commands (urfave/cli), arranges the command line (argv.go: urfave/cli stops looking for
// flags at the first argument), prints help itself (help.go), runs one command, prints its error and returns its exit
// code. A command that talks to a cluster connects by dial.go, asks net/client, and prints by output.go. serve builds
// one node. demo and bench run members as processes (local.go, process.go): this program once more, with serve; they
// die with the process that started them, however it dies.
//
// Errors say what failed, why, and what to do next. An error that decides an exit code is an exitError, or a
// member's answer (kv.Error); all others are exit code 1.
package cli
