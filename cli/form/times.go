package form

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	_ "time/tzdata"

	"github.com/urfave/cli/v2"
)

// localTimes are the formats of a time without a zone. Without a day, the time is of today.
var localTimes = []string{"2006-01-02 15:04:05", "2006-01-02 15:04"}

// ParseTime reads a time. A time in the future is an error.
func ParseTime(text string, now time.Time) (at time.Time, err error) {
	if at, err = time.Parse(time.RFC3339, text); err != nil {
		if at, err = parseLocal(text, now); err == nil {
			if err := checkZone(os.Getenv("TZ")); err != nil {
				return at, err
			}
		}
	}
	switch {
	case err != nil:
		return at, Usagef("%q is not a time: write it like 2006-01-02T15:04:05Z, or local like '2006-01-02 15:04:05' or 15:04", text)
	case at.After(now):
		return at, Usagef("%q is in the future: now it is %s", text, now.Format(time.RFC3339))
	}
	return at, nil
}

func parseLocal(text string, now time.Time) (at time.Time, err error) {
	for _, form := range localTimes {
		for _, day := range []string{"", now.Format(time.DateOnly) + " "} {
			if at, err = time.ParseInLocation(form, day+text, now.Location()); err == nil {
				return at, nil
			}
		}
	}
	return at, err
}

// checkZone returns an error if Go cannot load the time zone of the variable TZ: package time then takes local times as UTC without a word.
func checkZone(zone string) (err error) {
	name := strings.TrimPrefix(zone, ":")
	if filepath.IsAbs(name) {
		var text []byte
		if text, err = os.ReadFile(name); err == nil {
			_, err = time.LoadLocationFromTZData(name, text)
		}
	} else {
		_, err = time.LoadLocation(name) // an empty name is UTC
	}
	if err != nil {
		return Usagef("TZ=%s: %w: set TZ to a name such as Europe/Berlin, or give the time with its zone, as in 2006-01-02T15:04:05+02:00", zone, err)
	}
	return nil
}

// BeforeAll is the revision before the first write.
const BeforeAll = 1

// AsOf describes, after a blank, the revision or time of the state; empty for the newest. It prints the zone, so a user who meant
// another zone notices.
func AsOf(revision int64, at time.Time) string {
	if revision == 0 {
		return ""
	}
	text := fmt.Sprintf(" at revision %d", revision)
	if revision == BeforeAll {
		text += ", before the first write"
	}
	if !at.IsZero() {
		text += ", which was the newest at " + at.Format(time.RFC3339)
	}
	return text
}

// TimeAsked returns the time of --at or --ago; zero without them.
func TimeAsked(c *cli.Context, now time.Time) (at time.Time, err error) {
	ago := c.Duration("ago")
	asked := 0
	for _, name := range []string{"at", "ago", "rev"} {
		if c.IsSet(name) {
			asked++
		}
	}
	switch {
	case asked > 1:
		return at, Usagef("--at, --ago and --rev exclude each other")
	case ago < 0:
		return at, Usagef("--ago %v is in the future: give a time before now without a minus, as in 5m", ago)
	case c.IsSet("ago"):
		return now.Add(-ago), nil
	case c.IsSet("at"):
		return ParseTime(c.String("at"), now)
	}
	return at, nil
}
