package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/index/kv"
	"qkv/net/client"
)

func leaseCommand() *cli.Command {
	return &cli.Command{
		Name: "lease", Category: "keys", Usage: "grant, revoke and renew leases, which bound the life of keys",
		Description: "A lease has a time to live, in seconds. Its keys are deleted when that time has passed without a renewal, or when the " +
			"lease is revoked. Leases are named by their ids in hexadecimal digits, also in the output of these commands. The JSON " +
			"of keys and changes has the id twice. " + leaseNumbers,
		Subcommands: []*cli.Command{
			{
				Name: "grant", Usage: "make a lease", ArgsUsage: "SECONDS",
				Description: "A time shorter than an election is raised; the granted time is printed.",
				Flags: clientFlags(writeOutFlag(),
					&cli.StringFlag{Name: "id", EnvVars: []string{"QKV_LEASE_GRANT_ID"}, Usage: "the lease's id in `HEX` digits; by default one is chosen"},
				),
				Action: leaseGrant,
			},
			{Name: "revoke", Usage: "end a lease, and delete its keys", ArgsUsage: "LEASE", Flags: clientFlags(writeOutFlag()), Action: leaseRevoke},
			{
				Name: "keep-alive", Usage: "renew a lease until it ends or Ctrl-C", ArgsUsage: "LEASE",
				Description: "While no member can be reached, it retries until the lease would have expired.",
				Flags: clientFlags(writeOutFlag(),
					&cli.BoolFlag{Name: "once", EnvVars: []string{"QKV_LEASE_KEEP_ALIVE_ONCE"}, Usage: "renew it once"},
				),
				Action: leaseKeepAlive,
			},
			{
				Name: "timetolive", Usage: "show how much is left of a lease", ArgsUsage: "LEASE",
				Description: "A lease that does not exist ends with exit code 3.",
				Flags: clientFlags(writeOutFlag(),
					&cli.BoolFlag{Name: "keys", EnvVars: []string{"QKV_LEASE_TIMETOLIVE_KEYS"}, Usage: "with its keys"},
				),
				Action: leaseTimeToLive,
			},
			{Name: "list", Usage: "list all leases", Flags: clientFlags(writeOutFlag()), Action: leaseList},
		},
	}
}

// leaseID reads a lease id in hexadecimal digits.
func leaseID(word string) (int64, error) {
	id, err := strconv.ParseUint(word, 16, 64)
	if err != nil || id == 0 {
		return 0, usagef("%q names no lease: its id has 1 to 16 hexadecimal digits, as `qkv lease list` prints it", word)
	}
	return int64(id), nil
}

// withLease runs f with the lease in the only argument.
func withLease(c *cli.Context, f func(ctx context.Context, s *client.Client, id int64) error) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	id, err := leaseID(c.Args().First())
	if err != nil {
		return err
	}
	return within(c, func(ctx context.Context, s *client.Client) error { return f(ctx, s, id) })
}

func leaseGrant(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	ttl, err := strconv.ParseInt(c.Args().First(), 10, 64)
	if err != nil {
		return usagef("%q is no time to live: a number of seconds", c.Args().First())
	}
	if ttl < 1 {
		return usagef("a lease lives for at least 1 second, not %d", ttl)
	}
	id := int64(0)
	if word := c.String("id"); word != "" {
		if id, err = leaseID(word); err != nil {
			return err
		}
	}
	return orNothing(within(c, func(ctx context.Context, s *client.Client) error {
		l, err := s.Grant(ctx, id, ttl)
		if err != nil {
			return writeFailed(err)
		}
		return writeLease(c, leaseDocument{ID: hex(uint64(l.ID)), TTL: l.TTL, Granted: l.TTL},
			fmt.Sprintf("lease %016x granted with TTL(%ds)", uint64(l.ID), l.TTL))
	}))
}

func leaseRevoke(c *cli.Context) error {
	return orNothing(withLease(c, func(ctx context.Context, s *client.Client, id int64) error {
		written, err := s.Revoke(ctx, id)
		if err != nil {
			return writeFailed(err)
		}
		switch format := c.String("write-out"); format {
		case formatPlain:
			fmt.Fprintf(c.App.Writer, "lease %016x revoked\n", uint64(id))
			return nil
		default:
			return writeDel(c.App.Writer, format, written)
		}
	}))
}

func leaseKeepAlive(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	id, err := leaseID(c.Args().First())
	if err != nil {
		return err
	}
	return open(c.Context, c, func(s *client.Client) error {
		var until time.Time // the lease lives at least until then
		for {
			begun := time.Now()
			ttl, err := renew(c, s, id)
			answer, ok := errors.AsType[*kv.Error](err)
			pause := time.Duration(min(ttl, 1<<30)) * time.Second / 3
			switch {
			case ok && answer.Code == kv.LeaseNotFound:
				return exitf(exitNotFound, "lease %016x expired or revoked", uint64(id))
			case err != nil && !time.Now().Before(until):
				return err
			case err != nil: // the lease lives on, and members come back
				pause = renewAgain
			default:
				until = begun.Add(3 * pause)
				if err := writeLease(c, leaseDocument{ID: hex(uint64(id)), TTL: ttl, Granted: ttl}, fmt.Sprintf("lease %016x keepalived with TTL(%d)", uint64(id), ttl)); err != nil {
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
func renew(c *cli.Context, s *client.Client, id int64) (int64, error) {
	timeout := c.Duration("timeout")
	ctx, cancel := context.WithTimeoutCause(c.Context, timeout, noAnswer(timeout))
	defer cancel()
	return s.Renew(ctx, id)
}

func leaseTimeToLive(c *cli.Context) error {
	return withLease(c, func(ctx context.Context, s *client.Client, id int64) error {
		left, err := s.TimeToLive(ctx, id, c.Bool("keys"))
		if err != nil {
			return err
		}
		d := leaseDocument{ID: hex(uint64(id)), TTL: left.TTL, Granted: left.Granted}
		if left.TTL < 0 {
			if err := writeLease(c, d, fmt.Sprintf("lease %016x already expired", uint64(id))); err != nil {
				return err
			}
			return exitf(exitNotFound, "there is no lease %016x: it expired, was revoked, or was never granted", uint64(id))
		}
		text := fmt.Sprintf("lease %016x granted with TTL(%ds), remaining(%ds)", uint64(id), left.Granted, left.TTL)
		if c.Bool("keys") {
			d.Keys = make([]keyDocument, 0, len(left.Keys))
			var words []string
			for _, key := range left.Keys {
				one := keyDocument{}
				one.Key, one.KeyBase64 = textOrBase64(key)
				d.Keys = append(d.Keys, one)
				words = append(words, printable(key, len(key)))
			}
			text += fmt.Sprintf(", attached keys([%s])", strings.Join(words, " "))
		}
		return writeLease(c, d, text)
	})
}

// leaseDocument is the JSON of one lease.
type leaseDocument struct {
	ID      string        `json:"id"`
	TTL     int64         `json:"ttl"`
	Granted int64         `json:"granted_ttl"`
	Keys    []keyDocument `json:"keys,omitempty"`
}

type keyDocument struct {
	Key       *string `json:"key,omitempty"`
	KeyBase64 *string `json:"key_base64,omitempty"`
}

// writeLease prints one lease; text is its plain form.
func writeLease(c *cli.Context, d leaseDocument, text string) error {
	w := c.App.Writer
	switch c.String("write-out") {
	case formatJSON:
		return writeJSON(w, d)
	case formatFields:
		writeFields(w, []field{{"ID", d.ID}, {"TTL", d.TTL}, {"GrantedTTL", d.Granted}})
		for _, key := range d.Keys {
			writeFields(w, []field{{"Key", key.text()}})
		}
	case formatTable:
		t := table{head: []string{"ID", "TTL", "GRANTED", "KEYS"}}
		keys := "-" // keys were not requested
		if d.Keys != nil {
			keys = strconv.Itoa(len(d.Keys))
		}
		t.add(d.ID, d.TTL, d.Granted, keys)
		t.write(w)
	default:
		fmt.Fprintln(w, text)
	}
	return nil
}

func (k keyDocument) text() string {
	if k.Key != nil {
		return *k.Key
	}
	return *k.KeyBase64
}

func leaseList(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	return within(c, func(ctx context.Context, s *client.Client) error {
		all, err := s.Leases(ctx)
		if err != nil {
			return err
		}
		return writeLeases(c.App.Writer, c.String("write-out"), all)
	})
}

func writeLeases(w io.Writer, format string, all []int64) error {
	ids := make([]string, len(all))
	for i, id := range all {
		ids[i] = fmt.Sprintf("%016x", uint64(id))
	}
	switch format {
	case formatJSON:
		return writeJSON(w, struct {
			Leases []string `json:"leases"`
		}{ids})
	case formatFields:
		for _, id := range ids {
			writeFields(w, []field{{"ID", id}})
		}
	case formatTable:
		t := table{head: []string{"ID"}}
		for _, id := range ids {
			t.add(id)
		}
		t.write(w)
	default:
		fmt.Fprintf(w, "found %d leases\n", len(ids))
		for _, id := range ids {
			fmt.Fprintln(w, id)
		}
	}
	return nil
}
