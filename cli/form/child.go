package form

import (
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"github.com/urfave/cli/v2"
)

// CutCommand splits the command line at the command to run.
func CutCommand(c *cli.Context) (words, command []string, err error) {
	words = c.Args().Slice()
	if i := slices.Index(words, commandMark); i >= 0 {
		if words, command = words[:i], words[i+1:]; len(command) == 0 {
			return nil, nil, Usagef("the command after -- is missing")
		}
	}
	return words, command, nil
}

// OutputOf returns the output of a command: a file is passed directly, because a goroutine that copies could outlive the command.
func OutputOf(w io.Writer) io.Writer {
	if a, ok := w.(*AnswerWriter); ok {
		if f, ok := a.W.(*os.File); ok {
			return f
		}
	}
	return w
}

// CommandCode returns the exit code that a shell would give for an ended command.
func CommandCode(err *exec.ExitError) int {
	if status, ok := err.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return err.ExitCode()
}
