package checks

import (
	"time"

	"qkv/internal/limits"
)

// unexamined reports that the folder cannot be examined.
func (f *Folder) unexamined(r *report) bool {
	if f.Error != "" {
		r.skip("%s", f.Error)
	}
	return f.Error != ""
}

func folder(f *Facts, r *report) {
	d := f.Folder
	switch {
	case d.Error != "":
		r.add(Failure, "give --data-dir the folder of a member on this host", "%s", d.Error)
	case d.Mode&0o077 != 0:
		r.fail("the mode of %s is %04o, and 0700 is needed", d.Dir, d.Mode.Perm())
	case d.Owner != d.User && d.User != 0:
		r.fail("%s belongs to user %d, and this process runs as user %d", d.Dir, d.Owner, d.User)
	case d.Owner != d.User:
		r.ok("%s belongs to user %d: run the member as that user", d.Dir, d.Owner)
	default:
		r.ok("%s is closed to other users", d.Dir)
	}
}

func files(f *Facts, r *report) {
	d := f.Folder
	if d.unexamined(r) {
		return
	}
	if d.FilesSkip != "" {
		r.skip("%s", d.FilesSkip)
		return
	}
	for _, text := range d.Damaged {
		r.fail("%s", text)
	}
	r.quiet(1, "%s of the log and of snapshots can be read", Plural(d.Read, "file", "files"))
}

const (
	// doctorElection is the default election timeout, for a disk without a running member.
	doctorElection = time.Second
	// doctorSync is etcd's advice for the 99th percentile of a sync.
	doctorSync = 10 * time.Millisecond
	// doctorDiskFree is the part of a disk that should be free while no member runs there that could tell its needs: a tenth.
	doctorDiskFree = 10
	// doctorTimerSlack is the slack that a member gives itself (package cli, timerslack.go).
	doctorTimerSlack = time.Millisecond
	// doctorUDPBuffer is the buffer that quic-go asks the kernel for.
	doctorUDPBuffer = 7 << 20
)

func freeSpace(f *Facts, r *report) {
	d := f.Folder
	switch {
	case d.unexamined(r):
	case d.SizeBytes == 0:
		r.skip("the size of the file system is not known")
	default:
		space(r, d.Dir, d.FreeBytes, d.SizeBytes, d.SizeBytes/doctorDiskFree)
		r.quiet(1, "%d MiB of %d MiB are free", d.FreeBytes>>20, d.SizeBytes>>20)
	}
}

func disk(f *Facts, r *report) {
	s := &f.Folder.Sync
	switch {
	case f.Folder.unexamined(r):
	case s.Skip != "":
		r.skip("%s", s.Skip)
	case s.P99 >= doctorElection/doctorSyncFailure:
		r.fail("p50 of a sync is %s, p99 %s: a leader is replaced at the election timeout, 1 s by default; %s: %s", ms(s.P50), ms(s.P99), s.Class, s.Meaning)
	case s.P99 >= doctorSync:
		r.warn("p50 of a sync is %s, p99 %s, and etcd asks for %v; %s: %s", ms(s.P50), ms(s.P99), doctorSync, s.Class, s.Meaning)
	default:
		r.ok("p50 of a sync is %s, p99 %s; %s: %s", ms(s.P50), ms(s.P99), s.Class, s.Meaning)
	}
}

func fileLimit(f *Facts, r *report) {
	const needed = limits.EtcdConnections + limits.FilesKept
	switch n := f.Folder.Files; {
	case n == 0:
		r.skip("the limit is not known")
	case n < needed:
		r.warn("a process of this shell may open %d files, %d are enough for all connections", n, needed)
	default:
		r.ok("a process of this shell may open %d files", n)
	}
}

func timerSlack(f *Facts, r *report) {
	switch d := f.Folder; {
	case d.TimerSlackSkip != "":
		r.skip("%s", d.TimerSlackSkip)
	case d.TimerSlack > doctorTimerSlack:
		r.warn("timers of this shell's processes may fire %v late, at most %v is good", d.TimerSlack, doctorTimerSlack)
	default:
		r.ok("%v", d.TimerSlack)
	}
}

func timeSync(f *Facts, r *report) {
	switch d := f.Folder; {
	case d.ClockSkip != "":
		r.skip("%s", d.ClockSkip)
	case !d.ClockSynced:
		r.warn("the kernel says that no time service sets the clock")
	default:
		r.ok("a time service sets the clock")
	}
}

func udpBuffers(f *Facts, r *report) {
	d := f.Folder
	if d.UDPSkip != "" {
		r.skip("%s", d.UDPSkip)
		return
	}
	for _, one := range []struct {
		name  string
		bytes int64
	}{{"net.core.rmem_max", d.UDPReceive}, {"net.core.wmem_max", d.UDPSend}} {
		if one.bytes < doctorUDPBuffer {
			r.warn("%s is %d bytes, %d are needed", one.name, one.bytes, doctorUDPBuffer)
		}
	}
	r.quiet(1, "sockets may have %d bytes", doctorUDPBuffer)
}
