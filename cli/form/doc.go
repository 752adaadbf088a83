// Package form has what all commands use.
//
// A command: commands.txt declares it, with its arguments, its help and its flags. pages.go reads that text, flags.go
// makes the flags of it, and commands.go the commands, each with its call.
//
// A line: argv.go moves flags before arguments and knows each command's flags; help.go prints help; completion.go
// completes a line.
//
// A connection: dial.go reads endpoints, certificates and the user, by flags, variables, a profile (profile.go) and
// files, and connects.
//
// An answer is a document, which is printed as JSON or as tables, and a text; [Answer.Write] alone decides by
// --write-out. Lines and rows fit the terminal: a writer that is one has the method Columns.
//
// An end: an error with its own exit code is an [ExitError] (exit.go). All other errors have the code of their kind.
//
// No state and no goroutine outlives a command.
package form
