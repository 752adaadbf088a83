// Package cluster has the commands about members, users and certificates: status, doctor, member, user, role, auth,
// whoami and cert. status and doctor ask every member alone (ask.go) and print what all of them say (status_output.go,
// facts.go); the others ask one member, whichever answers.
package cluster

import "github.com/urfave/cli/v2"

// Commands returns the commands of this package.
func Commands() []*cli.Command {
	return []*cli.Command{
		statusCommand(), doctorCommand(), memberCommand(), userCommand(), roleCommand(), authCommand(), whoamiCommand(), certCommand(),
	}
}
