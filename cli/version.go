package cli

// This file is `qkv version`: print the version of this program.

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

func versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Flags: []cli.Flag{writeOutFlag()},
		Action: func(c *cli.Context) error {
			from, platform := commit(debug.ReadBuildInfo()), runtime.GOOS+"/"+runtime.GOARCH
			text := fmt.Sprintf("qkv %s %s %s %s\n", Version, from, runtime.Version(), platform)
			from = strings.TrimPrefix(from, "commit ")
			return writeOne(c, text, form.Document{{"version", Version}, {"commit", from}, {"go", runtime.Version()}, {"platform", platform}})
		},
	}
}

// builtFrom is the commit, set by make for builds in which Go does not look for it.
var builtFrom string

// commit returns the commit of the build, as Go records it in a repository.
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
