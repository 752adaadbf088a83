package disk_test

import (
	"testing"

	"qkv/log/disk"
)

// BenchmarkDatasync is what a zero-filled file is worth: the same writes with fdatasync into a file that grows and
// into one that was filled before.
func BenchmarkDatasync(b *testing.B) {
	for _, size := range []int{4 << 10, 16 << 10} {
		for _, filled := range []bool{false, true} {
			name := map[bool]string{false: "growing", true: "zero-filled"}[filled]
			b.Run(name+"/"+map[int]string{4 << 10: "4KiB", 16 << 10: "16KiB"}[size], func(b *testing.B) {
				benchmarkDatasync(b, size, filled)
			})
		}
	}
}

func benchmarkDatasync(b *testing.B, size int, filled bool) {
	const most = 64 << 20
	f, err := disk.OS().Create(b.TempDir() + "/f")
	must(b, err)
	if filled {
		zeros := make([]byte, 1<<20)
		for at := int64(0); at < most; at += 1 << 20 {
			_, err := f.WriteAt(zeros, at)
			must(b, err)
		}
		must(b, f.Sync())
	}
	p := make([]byte, size)
	for i := range p {
		p[i] = 'x'
	}
	at := int64(0)
	for b.Loop() {
		_, err := f.WriteAt(p, at)
		must(b, err)
		must(b, f.Datasync())
		at = (at + int64(size)) % most
	}
	must(b, f.Close())
}
