package keys

// This file is `qkv import`: store keys that are read from stdin as JSON, as qkv export prints them.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/client"
)

// importBytes bounds the keys and values of a transaction.
const importBytes = 1 << 20

// importLineBytes bounds a line: JSON may need six bytes for one of a value.
const importLineBytes = 8 * limits.RequestBytes

func importKeys(c *cli.Context) error {
	if form.ReadsTerminal(c.App.Reader) {
		fmt.Fprintln(c.App.ErrWriter, "the keys are read from the terminal; Ctrl-D ends them")
	}
	return form.UntilSignal(c, func(ctx context.Context, s *client.Client) error {
		i := importer{client: s, skip: c.Int64("skip"), usable: map[int64]bool{}, batched: map[string]bool{}}
		err := i.run(ctx, c.App.Reader)
		if err != nil && i.stored > 0 {
			err = fmt.Errorf("%w; `qkv import --skip %d` of the same input goes on behind the stored lines", err, i.stored)
		}
		if ctx.Err() != nil { // the message is that of the signal
			fmt.Fprintln(c.App.ErrWriter, err)
		}
		if err != nil {
			return err
		}
		text := fmt.Sprintf("imported %d keys, %d leases granted\n", i.keys, i.granted)
		if i.left > 0 {
			fmt.Fprintf(c.App.ErrWriter, "%d keys were left out: their lease has ended, or its line has no ttl\n", i.left)
		}
		return form.WriteOne(c, text, form.Document{{"keys", i.keys}, {"leases_granted", i.granted}, {"left_out", i.left}, {"skipped", min(i.skip, i.line)}})
	})
}

// importer stores keys in transactions.
//
//  1. The lines are stored in their order: all up to stored, and of the later ones at most some of the batch.
//  2. A lease is granted before the transaction whose keys have it.
type importer struct {
	client *client.Client
	skip   int64

	batch   []exportedPut
	batched map[string]bool // the keys of the batch: a transaction changes a key once
	bytes   int             // of the batch
	usable  map[int64]bool  // the leases that were seen: whether they exist

	line, stored        int64
	keys, granted, left int64
}

// ExportedKey is a line of an export: a key as `qkv get -w json` prints it, and the seconds that were left of its
// lease.
type ExportedKey struct {
	Key         *string `json:"key"`
	KeyBase64   *string `json:"key_base64"`
	Value       *string `json:"value"`
	ValueBase64 *string `json:"value_base64"`
	Lease       int64   `json:"lease"`
	Hex         string  `json:"lease_hex"`
	TTL         int64   `json:"ttl"` // 0: there is no lease, it has ended, or the leader was not asked
}

// exportedPut is a line as a put.
type exportedPut struct {
	kv.Put
	Ttl int64
}

func (i *importer) run(ctx context.Context, in io.Reader) error {
	type read struct {
		key ExportedKey
		err error
	}
	lines := make(chan read, 2*limits.TxnOperations)
	go func() { // a read of a terminal or a pipe ends only with the process
		defer close(lines)
		for key, err := range keysOf(in) {
			select {
			case lines <- read{key, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case l, more := <-lines:
			if !more {
				return i.flush(ctx)
			}
			if err := i.add(ctx, l.key, l.err); err != nil {
				return err
			}
		}
	}
}

// add takes the next line. A faulty line is an error after the lines before it were stored.
func (i *importer) add(ctx context.Context, key ExportedKey, err error) error {
	var p exportedPut
	if err == nil && i.line < i.skip {
		i.line++
		i.stored = i.line
		return nil
	}
	if err == nil {
		p, err = key.Put()
	}
	size := len(p.Key) + len(p.Value)
	if err != nil || len(i.batch) == limits.TxnOperations || i.bytes+size > importBytes || i.batched[string(p.Key)] {
		if failed := i.flush(ctx); failed != nil {
			return failed
		}
	}
	i.line++
	if err != nil {
		return form.Usagef("line %d: %w", i.line, err)
	}
	i.batch, i.bytes, i.batched[string(p.Key)] = append(i.batch, p), i.bytes+size, true
	return nil
}

// flush stores the batch.
func (i *importer) flush(ctx context.Context) error {
	if err := i.grant(ctx); err != nil {
		return fmt.Errorf("a lease of the lines %d to %d: %w", i.stored+1, i.line, err)
	}
	var ops []kv.Op
	for n := range i.batch {
		if p := &i.batch[n]; p.Lease == 0 || i.usable[p.Lease] {
			ops = append(ops, kv.Op{Put: &p.Put})
		}
	}
	if err := form.WriteFailed(i.write(ctx, ops)); err != nil {
		return fmt.Errorf("lines %d to %d: %w", i.stored+1, i.line, err)
	}
	i.keys += int64(len(ops))
	i.left += int64(len(i.batch) - len(ops))
	i.stored, i.bytes, i.batch = i.line, 0, i.batch[:0]
	clear(i.batched)
	return nil
}

// write makes the puts in one transaction, or in several if the members take only smaller ones.
func (i *importer) write(ctx context.Context, ops []kv.Op) error {
	if len(ops) == 0 {
		return nil
	}
	_, err := i.client.Txn(ctx, kv.Txn{Success: ops})
	if half := len(ops) / 2; half > 0 && form.CodeOf(err) == kv.ValueTooLarge {
		if err = i.write(ctx, ops[:half]); err == nil {
			err = i.write(ctx, ops[half:])
		}
	}
	return err
}

// grant grants the leases of the batch that are not known yet.
func (i *importer) grant(ctx context.Context) error {
	ttls := map[int64]int64{}
	var ids []int64
	for n := range i.batch {
		p := &i.batch[n]
		if _, known := i.usable[p.Lease]; p.Lease == 0 || known {
			continue
		}
		if _, seen := ttls[p.Lease]; !seen {
			ids = append(ids, p.Lease)
		}
		ttls[p.Lease] = max(ttls[p.Lease], p.Ttl)
	}
	var mu sync.Mutex
	return forEach(ctx, leasesAsked, ids, func(ctx context.Context, id int64) error {
		usable, granted, err := i.grantOne(ctx, id, ttls[id])
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		i.usable[id] = usable
		if granted {
			i.granted++
		}
		return nil
	})
}

// grantOne makes a lease exist, if the seconds that are left of it are known.
func (i *importer) grantOne(ctx context.Context, id, ttl int64) (usable, granted bool, err error) {
	if ttl == 0 {
		l, err := i.client.TimeToLive(ctx, id, client.LeaseOptions{})
		return l.TTL >= 0, false, err
	}
	_, err = i.client.Grant(ctx, ofSeconds(ttl), client.GrantOptions{ID: id})
	if form.CodeOf(err) == kv.LeaseExists {
		return true, false, nil
	}
	return err == nil, err == nil, form.WriteFailed(err)
}

// keysOf reads keys: objects, one a line, or the array of `consul kv export`.
func keysOf(in io.Reader) iter.Seq2[ExportedKey, error] {
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		b, err := r.Peek(1)
		if err != nil || !bytes.ContainsAny(b, " \t\r\n") {
			break
		}
		_, _ = r.Discard(1)
	}
	if b, err := r.Peek(1); err == nil && b[0] == '[' {
		return consulKeys(r)
	}
	return func(yield func(ExportedKey, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, importLineBytes)
		for lines.Scan() {
			var key ExportedKey
			err := json.Unmarshal(lines.Bytes(), &key)
			if !utf8.Valid(lines.Bytes()) {
				err = errors.New("it is not UTF-8: bytes go into key_base64 and value_base64")
			}
			if !yield(key, err) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(ExportedKey{}, err)
		}
	}
}

// consulKeys reads an array of objects with a key as text, and a value in base64.
func consulKeys(r io.Reader) iter.Seq2[ExportedKey, error] {
	return func(yield func(ExportedKey, error) bool) {
		d := json.NewDecoder(r)
		_, err := d.Token()
		for err == nil && d.More() {
			var one struct{ Key, Value *string }
			if err = d.Decode(&one); err == nil && !yield(ExportedKey{Key: one.Key, ValueBase64: one.Value}, nil) {
				return
			}
		}
		if err == nil {
			_, err = d.Token() // of the end
		}
		if err != nil {
			yield(ExportedKey{}, err)
		}
	}
}

// Put returns a line as a put.
func (k *ExportedKey) Put() (p exportedPut, err error) {
	p.Ttl, p.Lease = k.TTL, k.Lease
	if p.Key, err = bytesOf("key", k.Key, k.KeyBase64); err != nil {
		return p, err
	}
	if p.Value, err = bytesOf("value", k.Value, k.ValueBase64); err != nil {
		return p, err
	}
	switch {
	case len(p.Key) == 0 || len(p.Key) > limits.KeyBytes:
		return p, fmt.Errorf("the key has %d bytes: a key has 1 to %d", len(p.Key), limits.KeyBytes)
	case k.TTL < 0:
		return p, fmt.Errorf("ttl %d is below zero", k.TTL)
	case k.Hex != "":
		p.Lease, err = leaseID(k.Hex)
	}
	return p, err
}

// bytesOf returns a key or a value, which is text or in base64.
func bytesOf(name string, text, encoded *string) ([]byte, error) {
	switch {
	case (text == nil) == (encoded == nil):
		return nil, fmt.Errorf("it needs %s or %s_base64, and not both", name, name)
	case text != nil:
		return []byte(*text), nil
	}
	b, err := base64.StdEncoding.DecodeString(*encoded)
	if err != nil {
		return nil, fmt.Errorf("%s_base64: %w", name, err)
	}
	return b, nil
}
