package etcdflags

import (
	"fmt"
	"io"
)

// WriteHelp prints all flags with what they decide. Program is what the command is called.
func WriteHelp(w io.Writer, program string) {
	fmt.Fprintf(w, "usage: %s [flags]\n\netcd's own command line: flags, ETCD_ variables and --config-file are those of etcd 3.7.\n", program)
	fmt.Fprintf(w, "\nMembers talk to each other by QUIC, which is UDP, at the host and port of the peer URLs.\n")
	for _, g := range table {
		var said bool
		for _, s := range g.specs {
			if s.use == removed || s.kind == nothing {
				continue
			}
			if !said {
				fmt.Fprintf(w, "\n%s:\n", g.title)
				said = true
			}
			fmt.Fprintf(w, "  --%s '%s'\n        %s%s\n", s.name, s.byDefault(), map[use]string{ignored: "no effect: ", refused: "refused: "}[s.use], s.usage)
		}
	}
	fmt.Fprintf(w, "\nOther:\n  --config-file ''\n        YAML or JSON with the flags' names; all other flags and variables are passed over\n  --version\n        print the version of etcd's API that is spoken, and exit\n")
}
