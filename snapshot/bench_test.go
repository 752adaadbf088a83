package snapshot

import (
	"bytes"
	"fmt"
	"testing"

	"qkv/index"
	"qkv/log/disk"
)

const (
	benchKeys  = 1_000_000
	benchValue = 256
)

// plain is a source of benchKeys keys that costs next to nothing itself, so that what is measured is the format.
type plain struct{ fake }

func (p *plain) Scan(from []byte, f func(key []byte, versions []index.Version) bool) {
	first := 0
	if len(from) > 0 {
		fmt.Sscanf(string(from), "key%012d", &first)
		if len(from) > 15 {
			first++
		}
	}
	value := bytes.Repeat([]byte("0123456789abcdef"), benchValue/16)
	key := []byte("key000000000000")
	versions := make([]index.Version, 1)
	for i := first; i < benchKeys; i++ {
		for at, n := len(key)-1, i; at >= 3; at, n = at-1, n/10 {
			key[at] = byte('0' + n%10)
		}
		versions[0] = index.Version{Mod: int64(i) + 2, Create: int64(i) + 2, Version: 1, Value: value}
		if !f(key, versions) {
			return
		}
	}
}

func savePlain(b *testing.B, fs disk.FS, dir string) string {
	p := &plain{fake{applied: 1, term: 1, revision: benchKeys + 1}}
	m := p.meta()
	sv, err := begin(&Saver{fs: fs, dir: dir, name: Name(m.Index, m.Term), meta: m, keys: p})
	if err != nil {
		b.Fatal(err)
	}
	for done := false; !done; {
		if done, err = sv.Step(1 << 20); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(sv.Info().Bytes)
	return sv.Info().Path
}

// BenchmarkSaveFormat writes 1,000,000 keys of 256 bytes to a real disk: everything but the index's scan.
func BenchmarkSaveFormat(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		path := savePlain(b, disk.OS(), dir)
		b.StopTimer()
		if err := Remove(disk.OS(), path); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkReadFormat reads the same file as Load does, but for building the state.
func BenchmarkReadFormat(b *testing.B) {
	path := savePlain(b, disk.OS(), b.TempDir())
	for b.Loop() {
		f, err := disk.OS().Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := read(path, f, nil, ignore{}); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

// BenchmarkVerify adds the SHA-256.
func BenchmarkVerify(b *testing.B) {
	path := savePlain(b, disk.OS(), b.TempDir())
	for b.Loop() {
		if _, err := Verify(disk.OS(), path); err != nil {
			b.Fatal(err)
		}
	}
}
