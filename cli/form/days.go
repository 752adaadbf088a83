package form

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// daysFlag is a flag for a time that also takes days, as in 7d. All commands have it in place of urfave/cli's.
type daysFlag struct{ *cli.DurationFlag }

// Apply implements cli.Flag: urfave/cli's, with another parser.
func (f *daysFlag) Apply(set *flag.FlagSet) error {
	variables := f.EnvVars
	f.EnvVars = nil
	err := f.DurationFlag.Apply(flag.NewFlagSet("", flag.ContinueOnError)) // notes the default for the help
	f.EnvVars = variables
	if err != nil {
		return err
	}
	for _, variable := range variables {
		text := os.Getenv(variable)
		if text == "" {
			continue
		}
		if f.Value, err = ParseDuration(text); err != nil {
			return fmt.Errorf("could not parse %q as duration value from environment variable %q for flag %s: %w", text, variable, f.Name, err)
		}
		f.HasBeenSet = true
		break
	}
	value := days(f.Value)
	for _, name := range f.Names() {
		set.Var(&value, name, f.Usage)
	}
	return nil
}

// days is a time that is read with days, and printed as Go prints it.
type days time.Duration

// Set implements flag.Value.
func (d *days) Set(text string) error {
	read, err := ParseDuration(text)
	if err == nil {
		*d = days(read)
	}
	return err
}

// String implements flag.Value.
func (d *days) String() string { return time.Duration(*d).String() }

const Day = 24 * time.Hour

// ParseDuration reads a time as Go writes it, with whole days before it, as in 7d or 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	number, rest, has := strings.Cut(text, "d")
	if !has {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || n > math.MaxInt64/uint64(Day) || strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
		return 0, errors.New("whole days are needed before the d, as in 7d or 1d12h")
	}
	all := time.Duration(n) * Day
	if rest == "" {
		return all, nil
	}
	more, err := time.ParseDuration(rest)
	if err == nil && more > math.MaxInt64-all {
		err = errors.New("the time is too long")
	}
	return all + more, err
}
