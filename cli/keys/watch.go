package keys

// This file is `qkv watch`: print changes of a key, or of a range of keys, as they happen.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

func watch(c *cli.Context) error {
	keys, command, err := form.CutCommand(c)
	if err != nil {
		return err
	}
	request, err := watchRequest(c, keys)
	if err != nil {
		return err
	}
	p := &changePrinter{out: bufio.NewWriter(c.App.Writer), to: c.App.Writer, format: c.String("write-out"), left: c.Int64("limit"), command: command, errors: c.App.ErrWriter}
	return form.UntilSignal(c, func(ctx context.Context, s *client.Client) error {
		w, err := s.Watch(ctx, request)
		if err != nil {
			return watchFailed(err, "--rev")
		}
		defer w.Close()
		for response, err := range w.All() {
			if err != nil {
				return watchFailed(err, "--rev")
			}
			done, err := p.print(ctx, s, &response)
			if err == nil {
				err = p.out.Flush()
			}
			if done || err != nil {
				return err
			}
		}
		return nil
	})
}

// watchRequest builds the request from KEY, END and the flags.
func watchRequest(c *cli.Context, keys []string) (kv.Watch, error) {
	if len(keys) == 0 || len(keys) > 2 {
		return kv.Watch{}, form.Usagef("usage: %s [flags] %s; %d keys were given, and a command comes after `--`", c.Command.HelpName, c.Command.ArgsUsage, len(keys))
	}
	q, err := rangeQuery(c, keys)
	return kv.Watch{
		Key: q.Key, End: q.End, Revision: c.Int64("rev"), PrevKV: c.Bool("prev-kv"), ProgressNotify: c.Bool("progress-notify"),
		NoPut: c.String("filter") == "put", NoDelete: c.String("filter") == "delete",
	}, err
}

// watchFailed says what to do after the end of a watch; begin is the flag for the start revision.
func watchFailed(err error, begin string) error {
	var compacted *client.CompactedError
	if errors.As(err, &compacted) {
		return fmt.Errorf("%w: `qkv get` reads the current values, %s %d begins with the oldest kept change", err, begin, compacted.Oldest)
	}
	return err
}

// changePrinter prints changes.
type changePrinter struct {
	out     *bufio.Writer
	to      io.Writer // below out
	errors  io.Writer
	format  string
	left    int64 // changes until the end; 0: unlimited
	command []string
}

// print prints a watch response, and reports whether the limit is reached.
func (p *changePrinter) print(ctx context.Context, s *client.Client, r *client.WatchResponse) (done bool, err error) {
	if len(r.Events) == 0 {
		return false, p.progress(r.Revision)
	}
	names := make([]string, len(r.Events))
	if p.format == form.JSON {
		if names, err = authorsOfEvents(ctx, s, r.Events); err != nil {
			return false, err
		}
	}
	for i := range r.Events {
		e := &r.Events[i]
		if err := p.change(e, names[i]); err != nil {
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

func kindOf(e *kv.WatchEvent) string {
	if e.Deleted {
		return "DELETE"
	}
	return "PUT"
}

func (p *changePrinter) change(e *kv.WatchEvent, who string) error {
	text := kindOf(e) + "\n"
	if e.Before != nil {
		text += fmt.Sprintf("%s%s\n", form.KeyLine(p.to, e.KV.Key), e.Before.Value)
	}
	text += fmt.Sprintf("%s%s\n", form.KeyLine(p.to, e.KV.Key), e.KV.Value)
	return form.Answer{Document: changeOf(e, who), Text: text}.Write(p.out, p.format)
}

func (p *changePrinter) progress(revision int64) error {
	return form.Answer{
		Document: form.Document{{"revision", revision}, {"type", "progress"}},
		Text:     fmt.Sprintf("progress notify: %d\n", revision),
	}.Write(p.out, p.format)
}

// changeOf returns a change; names and order are a promise.
func changeOf(e *kv.WatchEvent, who string) form.Document {
	d := form.Document{{"revision", e.KV.ModRevision}, {"type", strings.ToLower(kindOf(e))}, {"key", form.Bytes(e.KV.Key)}}
	for _, f := range stateOf(&e.KV) {
		if !e.Deleted && f.Name != "mod_revision" {
			d = append(d, f)
		}
	}
	if e.Before != nil {
		d = append(d, form.Field{"prev", stateOf(e.Before)})
	}
	return append(d, form.Field{"who", form.Some(who)})
}

// run runs the command for a change, with its own output. If the command fails, the watch ends, as with etcdctl.
func (p *changePrinter) run(ctx context.Context, revision int64, e *kv.WatchEvent) error {
	command := exec.CommandContext(ctx, p.command[0], p.command[1:]...)
	command.Stdout, command.Stderr = form.OutputOf(p.to), p.errors
	command.Env = append(os.Environ(),
		fmt.Sprintf("QKV_WATCH_REVISION=%d", e.KV.ModRevision), "QKV_WATCH_EVENT_TYPE="+kindOf(e),
		fmt.Sprintf("ETCD_WATCH_REVISION=%d", revision), fmt.Sprintf("ETCD_WATCH_EVENT_TYPE=%q", kindOf(e)))
	for name, value := range map[string][]byte{"KEY": e.KV.Key, "VALUE": e.KV.Value} {
		if quoted := fmt.Sprintf("ETCD_WATCH_%s=%q", name, value); len(quoted) < variableMost {
			command.Env = append(command.Env, quoted)
		}
		name = "QKV_WATCH_" + name
		if text := name + "=" + string(value); len(text) < variableMost && bytes.IndexByte(value, 0) < 0 {
			command.Env = append(command.Env, text)
			continue
		}
		file, err := valueFile(value)
		if err != nil {
			return fmt.Errorf("the command for revision %d was not run: %w", e.KV.ModRevision, err)
		}
		defer os.Remove(file)
		command.Env = append(command.Env, name+"_FILE="+file)
	}
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("the command for revision %d failed: %w", e.KV.ModRevision, err)
	}
	return nil
}

// variableMost limits a variable with its name: Linux takes 128 KiB with the terminating zero byte (MAX_ARG_STRLEN).
const variableMost = 128 << 10

// valueFile writes a value to a new file that only this user can read, and returns the path of that file.
func valueFile(value []byte) (string, error) {
	file, err := os.CreateTemp("", "qkv-watch-")
	if err != nil {
		return "", err
	}
	_, err = file.Write(value)
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}
