package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

// variablePrefix begins the environment variables of qkv.
const variablePrefix = "QKV_"

// foreignVariables match variables of other programs that begin with QKV_. Kubernetes sets them in every pod for a service called
// qkv or qkv-NAME. The tests of this project have their own. `qkv watch` and `qkv lock` set them for the commands that they run, and
// `qkv demo` and `qkv bench` for their members.
var foreignVariables = regexp.MustCompile(`^QKV_(([A-Z0-9_]+_)?(SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)|FULL|TEST_[A-Z_]+|WATCH_(REVISION|EVENT_TYPE|KEY|VALUE)|LOCK_(KEY|TOKEN|LEASE)|ENDS_WITH_STDIN)$`)

// checkEnvironment refuses variables one edit away from a flag's variable: a misspelt setting would be ignored silently. It warns of
// other variables that belong to no flag: a pod or a CI job may define them, such as QKV_VERSION, for itself.
func checkEnvironment(app *cli.App, environment []string) (warning string, err error) {
	known := []string{form.SecretVariable}
	for _, f := range form.FlagsBelow(app.Commands) {
		if d, ok := f.(cli.DocGenerationFlag); ok {
			known = append(known, d.GetEnvVars()...)
		}
	}
	slices.Sort(known)
	known = slices.Compact(known)
	var ignored, misspelt, hints []string
	for _, entry := range slices.Sorted(slices.Values(environment)) {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, variablePrefix) || slices.Contains(known, name) || foreignVariables.MatchString(name) {
			continue
		}
		hint := ""
		if meant := variableMeant(name, known); meant != "" {
			hint = " (" + strings.TrimSpace(meant) + ")"
		}
		if slices.ContainsFunc(known, func(k string) bool { return form.EditDistance(name, k) == 1 }) {
			misspelt, hints = append(misspelt, name), append(hints, name+hint)
		} else {
			ignored = append(ignored, name+hint)
		}
	}
	if len(misspelt) > 0 {
		return "", form.Usagef("unknown variable %s; `qkv help connection` and `qkv serve --help` name the variables, `unset %s` ends this", strings.Join(hints, ", "), strings.Join(misspelt, " "))
	}
	if len(ignored) > 0 {
		warning = fmt.Sprintf("warning: no flag of qkv reads %s: ignored", strings.Join(ignored, ", "))
	}
	return warning, nil
}

// variableMeant guesses the right name of an unknown variable. The most frequent mistake is to omit the command's name, as in
// QKV_PREFIX.
func variableMeant(name string, known []string) string {
	with := slices.DeleteFunc(slices.Clone(known), func(k string) bool {
		return !strings.HasSuffix(k, strings.TrimPrefix(name, strings.TrimSuffix(variablePrefix, "_")))
	})
	if len(with) > 0 {
		return fmt.Sprintf("did you mean %s? ", strings.Join(with, " or "))
	}
	return form.DidYouMean(name, known)
}
