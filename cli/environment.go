package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// variablePrefix begins the environment variables of qkv.
const variablePrefix = "QKV_"

// foreignVariables match variables of other programs that begin with QKV_. Kubernetes sets them in every pod for a service called
// qkv or qkv-NAME. The tests of this project have their own. `qkv watch` and `qkv lock` set them for the commands that they run, and
// `qkv demo` and `qkv bench` for their members.
var foreignVariables = regexp.MustCompile(`^QKV_(([A-Z0-9_]+_)?(SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)|FULL|TEST_[A-Z_]+|WATCH_(REVISION|EVENT_TYPE|KEY|VALUE)|LOCK_(KEY|TOKEN|LEASE)|ENDS_WITH_STDIN)$`)

// checkEnvironment refuses variables that belong to no flag: a misspelt setting would be ignored silently.
func checkEnvironment(app *cli.App, environment []string) error {
	known, unknown := []string{secretVariable}, []string(nil)
	for _, f := range flagsBelow(app.Commands) {
		if d, ok := f.(cli.DocGenerationFlag); ok {
			known = append(known, d.GetEnvVars()...)
		}
	}
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, variablePrefix) && !slices.Contains(known, name) && !foreignVariables.MatchString(name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	slices.Sort(known)
	var all []string
	for _, name := range unknown {
		text := "unknown variable " + name
		if hint := variableMeant(name, known); hint != "" {
			text += ", " + strings.TrimSpace(hint)
		}
		all = append(all, text)
	}
	return usagef("%s; `qkv COMMAND --help` names each flag's variable, `unset %s` ends this", strings.Join(all, "; "), strings.Join(unknown, " "))
}

// variableMeant guesses the right name of an unknown variable. The most frequent mistake is to omit the command's name, as in
// QKV_PREFIX.
func variableMeant(name string, known []string) string {
	with := slices.DeleteFunc(slices.Clone(known), func(k string) bool {
		return !strings.HasSuffix(k, strings.TrimPrefix(name, strings.TrimSuffix(variablePrefix, "_")))
	})
	if with = slices.Compact(with); len(with) > 0 {
		return fmt.Sprintf("did you mean %s? ", strings.Join(with, " or "))
	}
	return didYouMean(name, known)
}
