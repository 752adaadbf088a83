package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"

	"github.com/urfave/cli/v2"

	"qkv/net/client"
)

func watchCommand() *cli.Command {
	return &cli.Command{
		Name: "watch", Category: "keys", Usage: "print changes of a key, or of a range of keys, as they happen",
		ArgsUsage: "KEY [END] [-- COMMAND ...]",
		Description: "Each change is PUT or DELETE, the key and the value, a line each; with -w json one line. The watch goes on until Ctrl-C, " +
			"and resumes by itself at another member when this one is gone: each change comes once, in order. --rev begins in the past; a " +
			"later watch from the revision behind the last one goes on where this one ended. Behind `--` stands a command that is run for " +
			"each change, with QKV_WATCH_REVISION, QKV_WATCH_EVENT_TYPE, QKV_WATCH_KEY and QKV_WATCH_VALUE in its environment (and what etcdctl calls them). " + leaseNumbers,
		Flags: clientFlags(
			&cli.StringFlag{
				Name: "write-out", Aliases: []string{"w"}, Value: formatPlain, EnvVars: []string{"QKV_WRITE_OUT"}, Usage: "`FORMAT` of the changes: plain, json or fields",
				Action: func(_ *cli.Context, format string) error {
					if slices.Contains([]string{formatPlain, formatJSON, formatFields}, format) {
						return nil
					}
					return usagef("--write-out %q is not a format of changes: plain, json or fields", format)
				},
			},
			&cli.BoolFlag{Name: "prefix", EnvVars: []string{"QKV_WATCH_PREFIX"}, Usage: "all keys that begin with KEY"},
			&cli.BoolFlag{Name: "from-key", EnvVars: []string{"QKV_WATCH_FROM_KEY"}, Usage: "all keys from KEY on, by bytes"},
			&cli.Int64Flag{Name: "rev", EnvVars: []string{"QKV_WATCH_REV"}, Usage: "changes from revision `N` on; 0 is from now on", Action: notNegative("rev")},
			&cli.BoolFlag{Name: "prev-kv", EnvVars: []string{"QKV_WATCH_PREV_KV"}, Usage: "also the key and value as they were before"},
			&cli.BoolFlag{Name: "progress-notify", EnvVars: []string{"QKV_WATCH_PROGRESS_NOTIFY"}, Usage: "say up to which revision there is no change, when there is none for ten minutes"},
			&cli.StringFlag{Name: "filter", EnvVars: []string{"QKV_WATCH_FILTER"}, Usage: "leave `KIND` out: put or delete", Action: oneOf("filter", "put", "delete")},
			&cli.Int64Flag{Name: "limit", EnvVars: []string{"QKV_WATCH_LIMIT"}, Usage: "end after `N` changes; 0 is never", Action: notNegative("limit")},
		),
		Action: watch,
	}
}

func watch(c *cli.Context) error {
	keys, command := c.Args().Slice(), []string(nil)
	if i := slices.Index(keys, commandMark); i >= 0 {
		keys, command = keys[:i], keys[i+1:]
		if len(command) == 0 {
			return usagef("no command stands behind --")
		}
	}
	request, err := watchRequest(c, keys)
	if err != nil {
		return err
	}
	p := &changePrinter{out: bufio.NewWriter(c.App.Writer), format: c.String("write-out"), left: c.Int64("limit"), command: command, errors: c.App.ErrWriter}
	return interruptible(c, func(ctx context.Context) error {
		return open(ctx, c, func(s *client.Client) error {
			w, err := s.Watch(ctx, request)
			if err != nil {
				return watchFailed(err, "--rev")
			}
			defer w.Close()
			for response, err := range w.All() {
				if err != nil {
					return watchFailed(err, "--rev")
				}
				done, err := p.print(ctx, &response)
				if err == nil {
					err = p.out.Flush()
				}
				if done || err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// watchRequest is what KEY, END and the flags ask for.
func watchRequest(c *cli.Context, keys []string) (client.Watch, error) {
	prefix, fromKey := c.Bool("prefix"), c.Bool("from-key")
	switch {
	case len(keys) == 0 || len(keys) > 2:
		return client.Watch{}, usagef("usage: %s [flags] %s; %d keys were given, and a command stands behind `--`", c.Command.HelpName, c.Command.ArgsUsage, len(keys))
	case prefix && fromKey:
		return client.Watch{}, usagef("--prefix and --from-key exclude each other")
	case len(keys) == 2 && (prefix || fromKey):
		return client.Watch{}, usagef("--prefix and --from-key say where the range ends: END %q goes without them", keys[1])
	}
	key, err := keyArgument(c, prefix || fromKey)
	if err != nil {
		return client.Watch{}, err
	}
	w := client.Watch{
		Key: key, Revision: c.Int64("rev"), PrevKV: c.Bool("prev-kv"), ProgressNotify: c.Bool("progress-notify"),
		NoPut: c.String("filter") == "put", NoDelete: c.String("filter") == "delete",
	}
	switch {
	case prefix:
		q := prefixQuery(key)
		w.Key, w.End = q.Key, q.End
	case fromKey:
		w.Key, w.End = orLeast(key), client.From
	case len(keys) == 2:
		w.End = []byte(keys[1])
	}
	return w, nil
}

// watchFailed says what to do about a watch that cannot go on; begin is the flag that says where one begins.
func watchFailed(err error, begin string) error {
	var compacted *client.CompactedError
	if errors.As(err, &compacted) {
		return fmt.Errorf("%w: `qkv get` reads what there is, %s %d begins with what is left", err, begin, compacted.Oldest)
	}
	return err
}

// changePrinter prints changes.
type changePrinter struct {
	out     *bufio.Writer
	errors  io.Writer
	format  string
	left    int64 // changes until the end; 0: there is none
	command []string
}

// print prints what a watch was told, and says whether that was the last of it.
func (p *changePrinter) print(ctx context.Context, r *client.WatchResponse) (done bool, err error) {
	if len(r.Events) == 0 {
		return false, p.progress(r.Revision)
	}
	for i := range r.Events {
		e := &r.Events[i]
		if err := p.change(e); err != nil {
			return false, err
		}
		if len(p.command) > 0 {
			if err := p.out.Flush(); err != nil {
				return false, err
			}
			if err := p.run(ctx, r.Revision, e); err != nil {
				return false, err
			}
		}
		if p.left > 0 {
			if p.left--; p.left == 0 {
				return true, nil
			}
		}
	}
	return false, nil
}

func kindOf(e *client.WatchEvent) string {
	if e.Deleted {
		return "DELETE"
	}
	return "PUT"
}

func (p *changePrinter) change(e *client.WatchEvent) error {
	switch p.format {
	case formatJSON:
		return writeJSON(p.out, changeOf(e))
	case formatFields:
		fields := []field{{"Type", kindOf(e)}}
		if e.Before != nil {
			fields = append(fields, keyFields("Prev", e.Before)...)
		}
		writeFields(p.out, append(fields, keyFields("", &e.KV)...))
		fmt.Fprintln(p.out)
		return nil
	}
	fmt.Fprintln(p.out, kindOf(e))
	if e.Before != nil {
		_, _ = fmt.Fprintf(p.out, "%s\n%s\n", e.KV.Key, e.Before.Value)
	}
	_, err := fmt.Fprintf(p.out, "%s\n%s\n", e.KV.Key, e.KV.Value)
	return err
}

func keyFields(name string, pair *client.KeyValue) []field {
	return []field{
		{name + "Key", string(pair.Key)},
		{name + "CreateRevision", pair.CreateRevision},
		{name + "ModRevision", pair.ModRevision},
		{name + "Version", pair.Version},
		{name + "Value", string(pair.Value)},
		{name + "Lease", pair.Lease},
	}
}

func (p *changePrinter) progress(revision int64) error {
	switch p.format {
	case formatJSON:
		return writeJSON(p.out, struct {
			Revision int64  `json:"revision"`
			Type     string `json:"type"`
		}{revision, "progress"})
	case formatFields:
		writeFields(p.out, []field{{"Type", "PROGRESS"}, {"Revision", revision}})
		return nil
	}
	_, err := fmt.Fprintf(p.out, "progress notify: %d\n", revision)
	return err
}

// changeDocument is the JSON of a change, a line each; the names and their order are a promise.
type changeDocument struct {
	Revision    int64           `json:"revision"`
	Type        string          `json:"type"`
	Key         *string         `json:"key,omitempty"`
	KeyBase64   *string         `json:"key_base64,omitempty"`
	Value       *string         `json:"value,omitempty"`
	ValueBase64 *string         `json:"value_base64,omitempty"`
	Create      *int64          `json:"create_revision,omitempty"`
	Version     *int64          `json:"version,omitempty"`
	Lease       *int64          `json:"lease,omitempty"`
	LeaseHex    string          `json:"lease_hex,omitempty"`
	Before      *beforeDocument `json:"prev,omitempty"`
}

// beforeDocument is the key as it was before.
type beforeDocument struct {
	Value       *string `json:"value,omitempty"`
	ValueBase64 *string `json:"value_base64,omitempty"`
	Create      int64   `json:"create_revision"`
	Mod         int64   `json:"mod_revision"`
	Version     int64   `json:"version"`
	leaseDigits
}

func changeOf(e *client.WatchEvent) changeDocument {
	d := changeDocument{Revision: e.KV.ModRevision, Type: "delete"}
	d.Key, d.KeyBase64 = textOrBase64(e.KV.Key)
	if !e.Deleted {
		d.Type, d.Create, d.Version, d.Lease = "put", &e.KV.CreateRevision, &e.KV.Version, &e.KV.Lease
		d.Value, d.ValueBase64 = textOrBase64(e.KV.Value)
		d.LeaseHex = leaseHex(e.KV.Lease)
	}
	if b := e.Before; b != nil {
		d.Before = &beforeDocument{Create: b.CreateRevision, Mod: b.ModRevision, Version: b.Version, leaseDigits: leaseDigitsOf(b.Lease)}
		d.Before.Value, d.Before.ValueBase64 = textOrBase64(b.Value)
	}
	return d
}

// run runs the command for a change. What it prints is its own; that it fails ends the watch, as with etcdctl.
func (p *changePrinter) run(ctx context.Context, revision int64, e *client.WatchEvent) error {
	command := exec.CommandContext(ctx, p.command[0], p.command[1:]...)
	command.Stdout, command.Stderr = p.out, p.errors
	command.Env = append(os.Environ(),
		fmt.Sprintf("QKV_WATCH_REVISION=%d", e.KV.ModRevision), "QKV_WATCH_EVENT_TYPE="+kindOf(e),
		fmt.Sprintf("ETCD_WATCH_REVISION=%d", revision), fmt.Sprintf("ETCD_WATCH_EVENT_TYPE=%q", kindOf(e)),
		fmt.Sprintf("ETCD_WATCH_KEY=%q", e.KV.Key), fmt.Sprintf("ETCD_WATCH_VALUE=%q", e.KV.Value))
	for name, value := range map[string][]byte{"QKV_WATCH_KEY": e.KV.Key, "QKV_WATCH_VALUE": e.KV.Value} {
		if bytes.IndexByte(value, 0) < 0 { // no environment can hold one
			command.Env = append(command.Env, name+"="+string(value))
		}
	}
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("the command for revision %d failed: %w", e.KV.ModRevision, err)
	}
	return nil
}
