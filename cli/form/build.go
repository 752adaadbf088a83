package form

import (
	"cmp"
	"runtime/debug"
	"strings"
)

// release is the version of the sources. A -dev is not released yet.
const release = "0.3.0-dev"

// Version is the version of qkv: the release, and the commit of the build where it is known, as in 0.3.0-dev+1a2b3c4d5e6f.
var Version = versionOf(Commit(debug.ReadBuildInfo()))

func versionOf(commit string) string {
	commit = strings.TrimPrefix(strings.Replace(commit, " with changes", "-dirty", 1), "commit ")
	if commit == "unknown" || !strings.HasSuffix(release, "-dev") {
		return release
	}
	return release + "+" + commit
}

// builtFrom is the commit, set by make for builds in which Go does not look for it.
var builtFrom string

// Commit returns the commit of the build, as Go records it in a repository.
func Commit(info *debug.BuildInfo, ok bool) string {
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
