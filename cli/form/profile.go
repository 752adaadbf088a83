package form

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/internal/settings"
)

// ProfilesFile is in the home folder: sets of flags for commands that talk to a cluster, by name.
const ProfilesFile = "profiles.yaml"

// profileVariable names a profile for all commands.
const profileVariable = "QKV_PROFILE"

// profileSettings are the flags that a profile may have.
var profileSettings = []string{"endpoints", "no-discovery", "timeout", "certs-dir", "client", "user", "user-password-file"}

// belongsTo are settings of a profile that are for another one of it: if a flag gives that one, they do not count.
var belongsTo = map[string]string{"user-password-file": "user", "client": "certs-dir"}

// endpointsProfile is the key in the app's metadata of the profile that the endpoints come from.
const endpointsProfile = "profile of the endpoints"

// Talks reports whether a command talks to a cluster.
func Talks(c *cli.Command) bool {
	return slices.ContainsFunc(c.Flags, func(f cli.Flag) bool {
		d, ok := f.(cli.DocGenerationFlag)
		return ok && slices.Contains(d.GetEnvVars(), profileVariable)
	})
}

// useProfile sets the flags of the profile that neither the command line nor a variable has set. Without --profile it uses the default
// of the file, unless endpoints are given: its certificate and its password are for the endpoints of the profile.
func useProfile(c *cli.Context) error {
	name := c.String("profile")
	if name == "" && c.IsSet("endpoints") {
		return nil
	}
	home, err := HomeDir(c)
	if err != nil {
		if name == "" {
			return nil // without a home there is no file
		}
		return err
	}
	profiles, err := readProfiles(filepath.Join(home, ProfilesFile), c.Command.Flags)
	if err != nil || name == "" && profiles.Default == "" {
		return err
	}
	if name == "" {
		name = profiles.Default
	}
	given := map[string]bool{} // the flags that have others which belong to them
	for _, flag := range belongsTo {
		given[flag] = c.IsSet(flag)
	}
	all, found := profiles.All[name]
	if !found {
		return Usagef("--profile %s: there is no such profile in %s: it has %s", ShellWord(name), filepath.Join(home, ProfilesFile), profileNames(profiles))
	}
	for _, one := range all {
		if c.IsSet(one.Name) || given[belongsTo[one.Name]] {
			continue
		}
		if err := c.Set(one.Name, one.Value); err != nil {
			return Usagef("%s:%d: %s: %q: %s", filepath.Join(home, ProfilesFile), one.Line, one.Name, one.Value, Wanted(c.Command, one.Name, err))
		}
		if one.Name == "endpoints" {
			c.App.Metadata[endpointsProfile] = name
		}
	}
	return nil
}

// readProfiles reads a file of profiles; there may be none.
func readProfiles(file string, flags []cli.Flag) (settings.Profiles, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return settings.Profiles{}, nil
	}
	if err != nil {
		return settings.Profiles{}, fmt.Errorf("read the profiles: %w", err)
	}
	defer f.Close()
	p, err := settings.ReadProfiles(file, f, profilesTable(flags))
	var faults *settings.Faults
	if errors.As(err, &faults) {
		return p, Usagef("%w", err)
	}
	for name, all := range p.All {
		for _, one := range all {
			if user, _, both := strings.Cut(one.Value, ":"); one.Name == "user" && both {
				return p, Usagef("%s:%d: the profile %s has a password: a file of profiles holds no secrets; give user: %s and user-password-file: FILE", file, one.Line, name, ShellWord(user))
			}
		}
	}
	return p, err
}

// profilesTable describes the settings of a profile.
func profilesTable(flags []cli.Flag) settings.Table {
	t := SettingsTable(flags)
	t.Refused = nil
	maps.DeleteFunc(t.Kinds, func(name string, _ settings.Kind) bool { return !slices.Contains(profileSettings, name) })
	return t
}

// profileNames lists the profiles of a file.
func profileNames(p settings.Profiles) string {
	if len(p.All) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(p.All)), ", ")
}
