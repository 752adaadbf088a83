package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

func versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Category: "program", Usage: "print the version of this program",
		Action: func(c *cli.Context) error {
			if err := arguments(c, 0, 0); err != nil {
				return err
			}
			fmt.Fprintf(c.App.Writer, "qkv %s %s %s %s/%s\n", Version, commit(debug.ReadBuildInfo()), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

// builtFrom is the commit that make knows where Go is told not to look for it.
var builtFrom string

// commit is what the program was built from, as Go notes it where it builds in a repository.
func commit(info *debug.BuildInfo, ok bool) string {
	if !ok || builtFrom != "" {
		return "commit " + cmp.Or(builtFrom, "unknown")
	}
	revision, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	if revision == "" {
		return "commit unknown"
	}
	return "commit " + revision[:min(12, len(revision))] + changed
}
