package cli

// This file is `qkv version`: print the version of this program.

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

// version is the call of `qkv version`.
func version(c *cli.Context) error {
	from, platform := form.Commit(debug.ReadBuildInfo()), runtime.GOOS+"/"+runtime.GOARCH
	text := fmt.Sprintf("qkv %s %s %s %s\n", form.Version, from, runtime.Version(), platform)
	from = strings.TrimPrefix(from, "commit ")
	return form.WriteOne(c, text, form.Document{{"version", form.Version}, {"commit", from}, {"go", runtime.Version()}, {"platform", platform}})
}
