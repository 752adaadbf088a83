//go:build linux

package run

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/internal/settings"
	"qkv/node"
)

// memberSettings are the effective settings of a member. The command line has priority over the environment, the environment over the
// file, and the file over the defaults.
type memberSettings struct {
	*cli.Context               // has the values
	line         *cli.Context  // of the command line
	set          *flag.FlagSet // of the context
	flags        []cli.Flag
	file         string             // empty: none
	inFile       []settings.Setting // all of them
	given        map[string]bool    // by the names of the flags: it has no default
}

// readMemberSettings returns the settings of this process: by its command line, its environment, and the present content of the file.
// Faults of the file are a *settings.Faults; the settings are then those without the file's faulty values.
func readMemberSettings(c *cli.Context, file string) (*memberSettings, error) {
	s := &memberSettings{Context: c, line: c, flags: MemberFlags(), file: file, given: map[string]bool{}}
	words, _ := c.App.Metadata[form.GivenFlags].([]string)
	set, err := flagSet(append(slices.Clone(s.flags), otherFlags(c.Command)...), words)
	if err != nil {
		return s, err
	}
	for _, f := range s.flags {
		s.given[f.Names()[0]] = f.IsSet() // by the environment: the set alone knows the command line
	}
	set.Visit(func(f *flag.Flag) { s.given[f.Name] = true })
	s.set, s.Context = set, cli.NewContext(c.App, set, nil)
	s.Command = &cli.Command{Name: "serve", HelpName: "qkv serve", Flags: s.flags}
	err = s.readFile()
	for _, f := range s.flags {
		if s.given[f.Names()[0]] {
			_ = actionOf(s.flags, f.Names()[0], s.Context) // converts capital letters; the values were checked before
		}
	}
	return s, err
}

// flagSet returns a set of flags with the values of the environment and of a command line.
func flagSet(flags []cli.Flag, words []string) (*flag.FlagSet, error) {
	set := flag.NewFlagSet("serve", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range flags {
		if err := f.Apply(set); err != nil {
			return nil, err
		}
	}
	return set, set.Parse(words)
}

// otherFlags returns the flags of a command that are no settings.
func otherFlags(c *cli.Command) []cli.Flag {
	known := form.FlagNames(MemberFlags())
	return slices.DeleteFunc(slices.Clone(c.Flags), func(f cli.Flag) bool { return slices.Contains(known, form.Dashed(f.Names()[0])) })
}

// readFile reads the file, checks all its values, and takes those that neither the command line nor the environment has.
func (s *memberSettings) readFile() error {
	if s.file == "" {
		return nil
	}
	f, err := os.Open(s.file)
	if err != nil {
		return form.Usagef("--config: %w", err)
	}
	defer f.Close()
	s.inFile, err = settings.Read(s.file, f, form.SettingsTable(s.flags))
	var faults *settings.Faults
	if err != nil && !errors.As(err, &faults) {
		return form.Usagef("--config: %w", err)
	}
	faults = withFaults(s.file, faults, s.checkValues())
	for _, one := range s.inFile {
		if !s.given[one.Name] {
			_ = s.Set(one.Name, one.Value) // a fault was found before
			s.given[one.Name] = true
		}
	}
	if faults != nil {
		return form.Usagef("%w", faults)
	}
	return nil
}

// withFaults adds faults to those of a file; nil if there are none.
func withFaults(file string, found *settings.Faults, more []settings.Fault) *settings.Faults {
	if len(more) == 0 {
		return found
	}
	if found == nil {
		found = &settings.Faults{File: file}
	}
	found.All = append(found.All, more...)
	slices.SortStableFunc(found.All, func(a, b settings.Fault) int { return a.Line - b.Line })
	return found
}

// checkValues checks each value of the file as if it stood on the command line, also those that the command line or the environment
// overrides.
func (s *memberSettings) checkValues() (faults []settings.Fault) {
	flags := MemberFlags()
	set, err := flagSet(flags, nil)
	if err != nil {
		return nil // of the environment: reported before
	}
	c := cli.NewContext(s.App, set, nil)
	c.Command = &cli.Command{Name: "serve", Flags: flags}
	for _, one := range s.inFile {
		err := set.Set(one.Name, one.Value)
		if err != nil {
			err = fmt.Errorf("%s: %q: %s", one.Name, one.Value, form.Wanted(c.Command, one.Name, err))
		} else {
			err = actionOf(flags, one.Name, c)
		}
		if err != nil {
			faults = append(faults, settings.Fault{Line: one.Line, Text: strings.TrimPrefix(err.Error(), "--")})
		}
	}
	return faults
}

// actionOf runs the check of a flag's value, if it has one.
func actionOf(flags []cli.Flag, name string, c *cli.Context) error {
	for _, f := range flags {
		if checked, ok := f.(cli.ActionableFlag); ok && f.Names()[0] == name {
			return checked.RunAction(c)
		}
	}
	return nil
}

// value returns an effective setting as text.
func (s *memberSettings) value(name string) string { return s.set.Lookup(name).Value.String() }

// member returns the configuration of the member, which is valid.
func (s *memberSettings) member(logger *slog.Logger) (node.Config, error) {
	config, err := nodeConfig(s.Context, logger)
	if err == nil {
		err = config.Validate()
	}
	return config, err
}

// changeable are the settings that a running member reads again.
var changeable = []string{"log-level", "quota-bytes", "history-bytes", "history-age"}

// reloading reads the file of a running member again.
type reloading struct {
	started *memberSettings // those that the member runs with
	level   *slog.LevelVar  // of its log
	logger  *slog.Logger
}

// reload takes the changeable settings of the file. A file with faults changes nothing. change is the member's.
func (r *reloading) reload(change func(node.Settings) error) {
	now, err := readMemberSettings(r.started.line, r.started.file)
	if err == nil {
		_, err = now.member(r.logger)
	}
	if err == nil {
		err = change(node.Settings{
			QuotaBytes: form.SizeOf(now.Context, "quota-bytes"), HistoryBytes: form.SizeOf(now.Context, "history-bytes"),
			HistoryAge: now.Duration("history-age"),
		})
	}
	if err != nil {
		r.logger.Error("the settings stay as they are: the configuration file is refused", "file", r.started.file, "error", err.Error())
		return
	}
	_ = r.level.UnmarshalText([]byte(now.String("log-level"))) // checked
	var changed, waiting []string
	for _, f := range r.started.flags {
		name := f.Names()[0]
		switch before := r.started.value(name); {
		case before == now.value(name):
		case slices.Contains(changeable, name):
			changed = append(changed, name)
			_ = r.started.Set(name, now.value(name))
		default:
			waiting = append(waiting, name)
		}
	}
	r.logger.Info("the configuration file was read again", "file", r.started.file, "changed", strings.Join(changed, ", "))
	if len(waiting) > 0 {
		r.logger.Warn("settings in the configuration file differ from those in use: they need a restart of this member", "settings", strings.Join(waiting, ", "))
	}
}
