package backup

import (
	"fmt"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/snapshot"
	"qkv/snapshot/backup/store"
)

// BenchmarkRestore restores 1,000,000 keys of 100 bytes: from a base, and from the log behind an empty base.
func BenchmarkRestore(b *testing.B) {
	const keys, batch = 1_000_000, 100
	for _, from := range []string{"base", "log"} {
		b.Run(from, func(b *testing.B) {
			dir := b.TempDir()
			l := limits.Defaults().Index
			s := index.NewState(l)
			s.Found(founders())
			w, err := Write(b.Context(), store.OpenFolder(disk.OS(), dir+"/b"), true, testOf, 1)
			must(b, err)
			save := func() {
				at, term := s.Applied()
				_, err := snapshot.Save(disk.OS(), dir, snapshot.Meta{Cluster: testCluster, Member: 1, Index: at, Term: term, Version: "0.2.0"}, s.ViewToSave(), nil)
				must(b, err)
				r, err := snapshot.Open(disk.OS(), dir+"/"+snapshot.Name(at, term))
				must(b, err)
				c, err := w.Base(r, func(p snapshot.Part) Source {
					r, err := snapshot.Open(disk.OS(), dir+"/"+p.Name())
					must(b, err)
					return r
				})
				for done := false; err == nil && !done; {
					done, err = c.Step(b.Context(), 1<<20)
				}
				must(b, err)
			}
			_, err = s.Apply(1, 1, nil, nil)
			must(b, err)
			if from == "log" {
				save()
			}
			var entries []Entry
			for i := 0; i < keys; i += batch {
				var commands [][]byte
				for k := range batch {
					commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "key %07d", (i+k)*7919%keys), Value: make([]byte, 100)}).Bytes)
				}
				e := Entry{Index: uint64(i/batch) + 2, Term: 1, Envelope: index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, First: 1, Wall: int64(i + 1)}, commands)}
				_, err := s.Apply(e.Index, 1, e.Envelope, nil)
				must(b, err)
				if entries = append(entries, e); from == "log" && len(entries) == 1000 {
					must(b, w.Append(b.Context(), entries))
					entries = entries[:0]
				}
			}
			if from == "base" {
				save()
			}
			must(b, w.Close())
			r, err := Open(b.Context(), store.OpenFolder(disk.OS(), dir+"/b"))
			must(b, err)
			for b.Loop() {
				got, err := r.Restore(At{}, l, nil)
				must(b, err)
				if n := got.State.View().Keys(); n != keys {
					b.Fatalf("%d keys", n)
				}
			}
		})
	}
}
