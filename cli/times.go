package cli

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"
)

// localTimes are the formats of a time without a zone. Without a day, the time is of today.
var localTimes = []string{"2006-01-02 15:04:05", "2006-01-02 15:04"}

// parseTime reads a time. A time in the future is an error.
func parseTime(text string, now time.Time) (at time.Time, err error) {
	if at, err = time.Parse(time.RFC3339, text); err != nil {
		at, err = parseLocal(text, now)
	}
	switch {
	case err != nil:
		return at, usagef("%q is not a time: write it like 2006-01-02T15:04:05Z, or local like '2006-01-02 15:04:05' or 15:04", text)
	case at.After(now):
		return at, usagef("%q is in the future: now it is %s", text, now.Format(time.RFC3339))
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

// asOf describes, after a blank, the revision or time of the state; empty for the newest. It prints the zone, so a user who meant
// another zone notices.
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

// timeAsked returns the time of --at or --ago; zero without them.
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
		return at, usagef("--ago %v is in the future: give a time before now without a minus, as in 5m", ago)
	case c.IsSet("ago"):
		return now.Add(-ago), nil
	case c.IsSet("at"):
		return parseTime(c.String("at"), now)
	}
	return at, nil
}
