package cli

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"
)

// localTimes are the forms of a time that says no zone; the day may be missing, and is today then.
var localTimes = []string{"2006-01-02 15:04:05", "2006-01-02 15:04"}

// parseTime reads a time. One that has not come yet is none.
func parseTime(text string, now time.Time) (at time.Time, err error) {
	if at, err = time.Parse(time.RFC3339, text); err != nil {
		at, err = parseLocal(text, now)
	}
	switch {
	case err != nil:
		return at, usagef("%q is no time: it is like 2006-01-02T15:04:05Z, or local like '2006-01-02 15:04:05' or 15:04", text)
	case at.After(now):
		return at, usagef("%q has not come yet: it is %s", text, now.Format(time.RFC3339))
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

// beforeAll is the revision before the first write.
const beforeAll = 1

// asOf says, behind a blank, of when the state is that was asked for; nothing where it is the newest. A time is said with its
// zone: who meant another one than this host's sees it.
func asOf(revision int64, at time.Time) string {
	if revision == 0 {
		return ""
	}
	text := fmt.Sprintf(" at revision %d", revision)
	if revision == beforeAll {
		text += ", before the first write"
	}
	if !at.IsZero() {
		text += ", which was the newest at " + at.Format(time.RFC3339)
	}
	return text
}

// timeAsked is what --at and --ago ask for; zero when they are not there.
func timeAsked(c *cli.Context, now time.Time) (at time.Time, err error) {
	ago := c.Duration("ago")
	asked := 0
	for _, name := range []string{"at", "ago", "rev"} {
		if c.IsSet(name) {
			asked++
		}
	}
	switch {
	case asked > 1:
		return at, usagef("--at, --ago and --rev exclude each other")
	case ago < 0:
		return at, usagef("--ago %v has not come yet", ago)
	case c.IsSet("ago"):
		return now.Add(-ago), nil
	case c.IsSet("at"):
		return parseTime(c.String("at"), now)
	}
	return at, nil
}
