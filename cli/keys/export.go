package keys

// This file is `qkv export`: print keys as JSON, one object a line, for qkv import.

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

// leasesAsked is the number of concurrent requests for leases: the client packs them into few packets.
const leasesAsked = 64

func exportKeys(c *cli.Context) error {
	at, err := form.TimeAsked(c, time.Now())
	if err != nil {
		return err
	}
	q := PrefixQuery([]byte(c.Args().First()))
	q.Revision, q.Serializable = c.Int64("rev"), c.Bool("serializable")
	return form.UntilSignal(c, func(ctx context.Context, s *client.Client) error {
		if err := readAt(ctx, s, &q, at); err != nil {
			return err
		}
		e := exporter{client: s, out: bufio.NewWriterSize(c.App.Writer, 64<<10)}
		if !q.Serializable {
			e.left = map[int64]int64{}
		}
		if err := e.run(ctx, c, q); err != nil {
			return fmt.Errorf("the export is incomplete, it ends after %d keys: %w", e.keys, err)
		}
		fmt.Fprintf(c.App.ErrWriter, "exported %d keys at revision %d\n", e.keys, e.revision)
		return nil
	})
}

// exporter prints keys.
type exporter struct {
	client   *client.Client
	out      *bufio.Writer
	left     map[int64]int64 // seconds, by lease; nil: nobody is asked
	keys     int
	revision int64
}

func (e *exporter) run(ctx context.Context, c *cli.Context, q kv.Range) error {
	bar := &form.Progress{}
	defer func() { bar.End() }()
	for page, err := range e.client.Pages(ctx, q) {
		if err != nil {
			return err
		}
		if e.revision == 0 && !form.IsTerminal(c.App.Writer) {
			bar = form.NewProgress(c.App.ErrWriter, "export", int(page.Count))
		}
		e.revision = cmp.Or(q.Revision, page.Revision)
		if err := e.askLeases(ctx, page.KVs); err != nil {
			return err
		}
		for i := range page.KVs {
			one := &page.KVs[i]
			line := append(documentOf(one, false), form.Field{"ttl", form.Some(e.left[one.Lease])})
			if err := form.WriteJSON(e.out, line); err != nil {
				return err
			}
			e.keys++
		}
		bar.Add(len(page.KVs))
	}
	return e.out.Flush()
}

// askLeases asks how much is left of the leases that are new in a page.
func (e *exporter) askLeases(ctx context.Context, page []kv.KeyValue) error {
	var ids []int64
	for i := range page {
		id := page[i].Lease
		if _, known := e.left[id]; id != 0 && !known && e.left != nil {
			e.left[id] = 0
			ids = append(ids, id)
		}
	}
	var mu sync.Mutex
	return forEach(ctx, leasesAsked, ids, func(ctx context.Context, id int64) error {
		l, err := e.client.TimeToLive(ctx, id, client.LeaseOptions{})
		if err == nil && l.TTL >= 0 {
			mu.Lock()
			e.left[id] = max(1, inSeconds(l.TTL))
			mu.Unlock()
		}
		return err
	})
}
