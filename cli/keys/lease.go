package keys

// This file is `qkv lease`: grant, revoke and renew leases, which bound the life of keys.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

// leaseID reads a lease id in hexadecimal digits.
func leaseID(word string) (int64, error) {
	id, err := strconv.ParseUint(word, 16, 64)
	if err != nil || id == 0 {
		return 0, form.Usagef("%q names no lease: its id has 1 to 16 hexadecimal digits, as `qkv lease list` prints it", word)
	}
	return int64(id), nil
}

// withLease runs f with the lease in the only argument.
func withLease(c *cli.Context, f func(ctx context.Context, s *client.Client, id int64) error) error {
	id, err := leaseID(c.Args().First())
	if err != nil {
		return err
	}
	return form.Within(c, func(ctx context.Context, s *client.Client) error { return f(ctx, s, id) })
}

// checkTTL refuses seconds that no lease lives for. A duration may be too short for them, and a member would name another number.
func checkTTL(seconds int64) error {
	if seconds < 1 {
		return form.Usagef("a lease lives for at least 1 second, not %d", seconds)
	}
	if long := kv.CheckTTL(seconds); long != nil {
		return form.OrNothing(long)
	}
	return nil
}

func leaseGrant(c *cli.Context) error {
	ttl, err := strconv.ParseInt(c.Args().First(), 10, 64)
	if err != nil {
		return form.Usagef("%q is no time to live: a number of seconds", c.Args().First())
	}
	if err := checkTTL(ttl); err != nil {
		return err
	}
	return form.OrNothing(form.Within(c, func(ctx context.Context, s *client.Client) error {
		l, err := s.Grant(ctx, ofSeconds(ttl), client.GrantOptions{})
		if err != nil {
			return form.WriteFailed(err)
		}
		return writeLease(c, l.ID, l.TTL, l.TTL, nil,
			fmt.Sprintf("lease %016x granted with TTL(%ds)", uint64(l.ID), l.TTL/time.Second))
	}))
}

func leaseRevoke(c *cli.Context) error {
	return form.OrNothing(withLease(c, func(ctx context.Context, s *client.Client, id int64) error {
		written, err := s.Revoke(ctx, id)
		if err != nil {
			return form.WriteFailed(err)
		}
		a := delAnswer(written)
		a.Text = fmt.Sprintf("lease %016x revoked\n", uint64(id))
		return form.WriteAnswer(c, a)
	}))
}

func leaseKeepAlive(c *cli.Context) error {
	id, err := leaseID(c.Args().First())
	if err != nil {
		return err
	}
	return form.Open(c.Context, c, func(s *client.Client) error {
		var until time.Time // the lease lives at least until then
		for {
			begun := time.Now()
			ttl, err := renew(c, s, id)
			answer, ok := errors.AsType[*kv.Error](err)
			pause := min(ttl, 1<<30*time.Second) / 3
			switch {
			case ok && answer.Code == kv.LeaseNotFound:
				return form.Exitf(form.ExitNotFound, "lease %016x expired or revoked", uint64(id))
			case err != nil && !time.Now().Before(until):
				return err
			case err != nil: // the lease lives on, and members come back
				pause = renewAgain
			default:
				until = begun.Add(3 * pause)
				if err := writeLease(c, id, ttl, ttl, nil, fmt.Sprintf("lease %016x keepalived with TTL(%d)", uint64(id), ttl/time.Second)); err != nil {
					return err
				}
				if c.Bool("once") {
					return nil
				}
			}
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-c.Context.Done():
				timer.Stop()
				return context.Cause(c.Context)
			}
		}
	})
}

// renewAgain is the pause before the retry of a failed renewal.
const renewAgain = 100 * time.Millisecond

// renew renews a lease within the command's timeout.
func renew(c *cli.Context, s *client.Client, id int64) (time.Duration, error) {
	ctx, cancel := form.Bounded(c.Context, c.Duration("timeout"))
	defer cancel()
	return s.Renew(ctx, id)
}

func leaseTimeToLive(c *cli.Context) error {
	return withLease(c, func(ctx context.Context, s *client.Client, id int64) error {
		left, err := s.TimeToLive(ctx, id, client.LeaseOptions{Keys: c.Bool("keys")})
		if err != nil {
			return err
		}
		if left.TTL < 0 {
			if err := writeLease(c, id, left.TTL, left.Granted, nil, fmt.Sprintf("lease %016x already expired", uint64(id))); err != nil {
				return err
			}
			return form.Exitf(form.ExitNotFound, "there is no lease %016x: it expired, was revoked, or was never granted", uint64(id))
		}
		text := fmt.Sprintf("lease %016x granted with TTL(%ds), remaining(%ds)", uint64(id), left.Granted/time.Second, left.TTL/time.Second)
		if c.Bool("keys") {
			var words []string
			left.Keys = append([][]byte{}, left.Keys...) // not nil
			for _, key := range left.Keys {
				words = append(words, form.Printable(key, len(key)))
			}
			text += fmt.Sprintf(", attached keys([%s])", strings.Join(words, " "))
		}
		return writeLease(c, id, left.TTL, left.Granted, left.Keys, text)
	})
}

// ofSeconds converts seconds to a duration, limited to the longest one.
func ofSeconds(n int64) time.Duration {
	return time.Duration(min(n, int64(math.MaxInt64/time.Second))) * time.Second
}

func inSeconds(ttl time.Duration) int64 { return int64(ttl / time.Second) }

// writeLease prints one lease; text is its plain form. keys is nil if they were not requested.
func writeLease(c *cli.Context, id int64, remaining, total time.Duration, keys [][]byte, text string) error {
	d := form.Document{{"id", form.Hex(uint64(id))}, {"ttl", inSeconds(remaining)}, {"granted_ttl", inSeconds(total)}}
	var all []form.Document
	for _, key := range keys {
		all = append(all, form.Document{{"key", form.Bytes(key)}})
	}
	if len(all) > 0 {
		d = append(d, form.Field{"keys", all})
	}
	return form.WriteOne(c, text+"\n", d)
}

func leaseList(ctx context.Context, c *cli.Context, s *client.Client) error {
	all, err := s.Leases(ctx)
	if err != nil {
		return err
	}
	ids, text := make([]string, len(all)), fmt.Sprintf("found %d leases\n", len(all))
	for i, id := range all {
		ids[i] = form.Hex(uint64(id))
		text += ids[i] + "\n"
	}
	return form.WriteOne(c, text, form.Document{{"leases", ids}})
}
