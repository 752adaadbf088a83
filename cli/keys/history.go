package keys

// This file is `qkv history`: print the kept history of a key; `qkv log`: print all changes as JSON, a line each.

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/net/client"
)

// pointUsage describes the syntax of a point in the history.
const pointUsage = "a revision, or a time: 2006-01-02T15:04:05Z, or local '2006-01-02 15:04[:05]', or 15:04[:05] today, or an age, such as 5m"

// pointAsked returns the revision of a word: a revision or a time. An empty word is 0.
func pointAsked(ctx context.Context, s *client.Client, word string) (int64, error) {
	revision, at, err := ParsePoint(word, time.Now())
	if err != nil || at.IsZero() {
		return revision, err
	}
	return s.RevisionAt(ctx, at, client.ReadOptions{})
}

// ParsePoint reads a revision, a time or an age. An empty word is revision 0.
func ParsePoint(word string, now time.Time) (revision int64, at time.Time, err error) {
	if word == "" {
		return 0, at, nil
	}
	if strings.Trim(word, "0123456789") == "" {
		if revision, err = strconv.ParseInt(word, 10, 64); err != nil || revision < 1 {
			return 0, at, form.Usagef("%q is no revision: they begin with 1", word)
		}
		return revision, at, nil
	}
	if ago, notAgo := form.ParseDuration(word); notAgo == nil && ago >= 0 {
		return 0, now.Add(-ago), nil
	}
	if at, err = form.ParseTime(word, now); err != nil {
		return 0, at, form.Usagef("%w; or an age, such as 5m; or a revision, which is a number", err)
	}
	return 0, at, nil
}

// recorded is a change with its time and author. The time is zero if it is no longer known, the author empty.
type recorded struct {
	kv.WatchEvent
	at  time.Time
	who string
}

// recordsOf adds the times and authors of changes.
func recordsOf(ctx context.Context, s *client.Client, events []kv.WatchEvent) ([]recorded, error) {
	names, err := authorsOfEvents(ctx, s, events)
	if err != nil {
		return nil, err
	}
	var revisions []int64
	for i := range events {
		if n := events[i].KV.ModRevision; len(revisions) == 0 || revisions[len(revisions)-1] != n {
			revisions = append(revisions, n)
		}
	}
	times, err := s.TimesOf(ctx, revisions)
	if err != nil {
		return nil, err
	}
	all := make([]recorded, len(events))
	for i, j := 0, 0; i < len(events); i++ {
		if events[i].KV.ModRevision != revisions[j] {
			j++
		}
		all[i] = recorded{events[i], times[j], names[i]}
	}
	return all, nil
}

// timeText formats a time; empty if unknown.
func timeText(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02T15:04:05.000Z")
}

func (e *recorded) document() form.Document {
	return slices.Insert(changeOf(&e.WatchEvent, e.who), 1, form.Field{"time", form.Some(timeText(e.at))})
}

// versionsTogether is how many versions of a key get their times in one request.
const versionsTogether = 500

func printHistory(c *cli.Context) error {
	key, err := keyArgument(c, false)
	if err != nil {
		return err
	}
	return form.Within(c, func(ctx context.Context, s *client.Client) error {
		out, known := bufio.NewWriter(c.App.Writer), false
		var waiting []kv.WatchEvent
		flush := func() error {
			all, err := recordsOf(ctx, s, waiting)
			for i := range all {
				known = true
				if err == nil {
					err = writeVersion(out, c.String("write-out"), &all[i])
				}
			}
			waiting = waiting[:0]
			return err
		}
		for e, err := range s.Versions(ctx, key) {
			if err != nil {
				return err
			}
			if waiting = append(waiting, e); len(waiting) == versionsTogether {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if err := cmp.Or(flush(), out.Flush()); err != nil {
			return err
		}
		if !known {
			return form.Exitf(form.ExitNotFound, "nothing is known of key %q", key)
		}
		return nil
	})
}

// writeVersion prints a version of a key.
func writeVersion(w io.Writer, format string, e *recorded) error {
	kind := strings.ToLower(kindOf(&e.WatchEvent))
	line := fmt.Sprintf("%d\t%s\t%s\t%s", e.KV.ModRevision, timeText(e.at), kind, shownAuthor(e.who))
	if !e.Deleted {
		line += "\t" + form.Printable(e.KV.Value, form.ValueMost)
	}
	return form.Answer{Document: e.document(), Text: line + "\n"}.Write(w, format)
}

func printLog(c *cli.Context) error {
	q := PrefixQuery([]byte(c.Args().First()))
	first, at, err := ParsePoint(c.String("from"), time.Now())
	if err != nil {
		return err
	}
	return form.UntilSignal(c, func(ctx context.Context, s *client.Client) error {
		switch {
		case !at.IsZero():
			before, err := s.RevisionAt(ctx, at, client.ReadOptions{})
			if err != nil {
				return err
			}
			first = before + 1
		case first == 0:
			status, err := s.Admin().Status(ctx, "")
			if err != nil {
				return err
			}
			first = max(status.Get(figures.Oldest), 1)
		}
		return followLog(ctx, c, s, kv.Watch{Key: q.Key, End: q.End, Revision: first})
	})
}

func followLog(ctx context.Context, c *cli.Context, s *client.Client, request kv.Watch) error {
	responses := s.Changes(ctx, request)
	if c.Bool("follow") {
		w, err := s.Watch(ctx, request)
		if err != nil {
			return watchFailed(err, "--from")
		}
		defer w.Close()
		responses = w.All()
	}
	out := bufio.NewWriter(c.App.Writer)
	for response, err := range responses {
		if err != nil {
			return watchFailed(err, "--from")
		}
		all, err := recordsOf(ctx, s, response.Events)
		if err != nil {
			return err
		}
		for i := range all {
			if by := c.String("by"); by != "" && by != all[i].who {
				continue
			}
			if err := form.WriteJSON(out, all[i].document()); err != nil {
				return err
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}
