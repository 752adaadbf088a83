package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/client"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

var backupSeed = flag.Uint64("adverse.backupseed", 0, "seed of TestAdverseBackup: the order of its incidents, and its keys; 0: a random one")

const (
	chaosKeys    = 50
	chaosWriters = 8
)

// chaosModel is what several writers have put. Each value is put once, so it names its put.
type chaosModel struct {
	mu     sync.Mutex
	puts   []backedUp        // that were acknowledged, in no order
	doubts map[string]string // values of puts without an answer, and their keys
}

// write puts until the context ends. A put of an odd writer soon gives up, so its effect is unknown; an even writer waits for its answer.
func (m *chaosModel) write(ctx context.Context, s *client.Client, writer int, r *rand.Rand) {
	for i := 0; ctx.Err() == nil; i++ {
		one := backedUp{key: chaosKey(r.IntN(chaosKeys)), begun: time.Now()}
		one.value = fmt.Sprintf("%d %d %d %s", one.begun.UnixNano(), writer, i, noise(r))
		timeout := processWait
		if writer%2 == 1 {
			timeout = 300 * time.Millisecond
		}
		asked, cancel := context.WithTimeout(ctx, timeout)
		revision, err := s.Put(asked, []byte(one.key), []byte(one.value))
		cancel()
		one.revision, one.ended = revision.Revision, time.Now()
		m.mu.Lock()
		if err != nil {
			m.doubts[one.value] = one.key
		} else {
			m.puts = append(m.puts, one)
		}
		m.mu.Unlock()
		time.Sleep(12 * time.Millisecond)
	}
}

// noise is text that does not compress well: of some hundred bytes, and now and then of as many as make a second part of the history in time.
func noise(r *rand.Rand) string {
	b := make([]byte, 100+r.IntN(400))
	if r.IntN(30) == 0 {
		b = make([]byte, 100*len(b))
	}
	for i := range b {
		b[i] = byte(' ' + r.IntN(90))
	}
	return string(b)
}

func chaosKey(i int) string { return fmt.Sprintf("key %02d", i) }

// acknowledged returns the acknowledged puts in the order of their revisions.
func (m *chaosModel) acknowledged() []backedUp {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(slices.Values(m.puts), func(a, b backedUp) int { return cmp.Compare(a.revision, b.revision) })
}

func (m *chaosModel) newest() int64 {
	all := m.acknowledged()
	return all[len(all)-1].revision
}

// compare holds every key of a state against the acknowledged puts up to its revision. A put without an answer may be there.
func (m *chaosModel) compare(t *testing.T, revision int64, get func(key string) (value string, modified int64)) {
	t.Helper()
	want, taken := map[string]backedUp{}, map[int64]bool{}
	for _, p := range m.acknowledged() {
		if taken[p.revision] = true; p.revision <= revision {
			want[p.key] = p
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range chaosKeys {
		key := chaosKey(i)
		value, modified := get(key)
		w := want[key]
		doubt := m.doubts[value] == key && modified > w.revision && modified <= revision && !taken[modified]
		if !doubt && (value != w.value || modified != w.revision) {
			t.Errorf("as of revision %d, %s is %.40q of revision %d, and %.40q of revision %d was acknowledged", revision, key, value, modified, w.value, w.revision)
		}
	}
}

// restores restores the state of an acknowledged put, and compares it, also some of its history. It reports whether the backup had it: a
// moment that is older than keep may be gone.
func (m *chaosModel) restores(t *testing.T, dir string, p backedUp, keep time.Duration, r *rand.Rand) bool {
	t.Helper()
	got, err := restored(dir, backup.At{Revision: p.revision})
	if (errors.Is(err, backup.ErrRange) || errors.Is(err, backup.ErrGap)) && time.Since(p.ended) > keep {
		return false
	}
	if err != nil || got.Revision != p.revision {
		t.Errorf("revision %d, acknowledged %v ago: %+v, %v", p.revision, time.Since(p.ended), got, err)
		return false
	}
	v := got.State.View()
	m.compare(t, got.Revision, func(key string) (string, int64) {
		pair, _, err := v.Get([]byte(key), 0)
		must(t, err)
		return string(pair.Value), pair.ModRevision
	})
	puts := m.acknowledged()
	for range 20 {
		if was := puts[r.IntN(len(puts))]; was.revision <= p.revision {
			pair, _, err := v.Get([]byte(was.key), was.revision)
			if err != nil || string(pair.Value) != was.value || pair.ModRevision != was.revision {
				t.Errorf("the state of revision %d has %s as of revision %d with %.40q of revision %d, %v; %.40q was acknowledged", p.revision, was.key, was.revision, pair.Value, pair.ModRevision, err, was.value)
			}
		}
	}
	return true
}

// backupChaos is a cluster whose leader makes a backup, with writers, and what goes wrong.
type backupChaos struct {
	*clusterProcess
	t       *testing.T
	dir     string // of the backup
	model   *chaosModel
	r       *rand.Rand
	clients []*client.Client
	stop    context.CancelFunc // of the writers
	writing sync.WaitGroup
	kills   int
	stops   int
	files   int // of a base, at most
}

// writes starts the writers.
func (b *backupChaos) writes() {
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	for n, s := range b.clients {
		r := rand.New(rand.NewPCG(b.r.Uint64(), uint64(n)))
		b.writing.Go(func() { b.model.write(ctx, s, n, r) })
	}
}

// history puts so much that the bases have a part of the history.
func (b *backupChaos) history() {
	var all sync.WaitGroup
	for n, s := range b.clients[:4] {
		all.Go(func() {
			for range limits.ExtentBytes>>21 + 1 {
				if _, err := s.Put(context.Background(), fmt.Appendf(nil, "history %d", n), randomBytes(512<<10)); err != nil {
					b.t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// quiet ends the writers.
func (b *backupChaos) quiet() {
	b.stop()
	b.writing.Wait()
}

// upTo draws a time.
func (b *backupChaos) upTo(most time.Duration) time.Duration {
	return time.Duration(b.r.Int64N(int64(most)))
}

// restart kills members with kill -9, and starts them again.
func (b *backupChaos) restart(members ...*memberProcess) {
	b.kill(members...)
	time.Sleep(100*time.Millisecond + b.upTo(400*time.Millisecond))
	for _, m := range members {
		m.start()
	}
}

func (b *backupChaos) kill(members ...*memberProcess) {
	for _, m := range members {
		m.signal(syscall.SIGKILL)
	}
	for _, m := range members {
		<-m.ended
	}
	b.kills++
}

// paused stops a process by SIGSTOP for some seconds.
func (b *backupChaos) paused(signal func(syscall.Signal)) {
	signal(syscall.SIGSTOP)
	time.Sleep(time.Second + b.upTo(variant(time.Second, 4*time.Second)))
	signal(syscall.SIGCONT)
	b.stops++
}

// incidents are what may go wrong. The short variant has the first ones.
func (b *backupChaos) incidents() []func() {
	follower := func() *memberProcess { return b.others(b.leader())[b.r.IntN(2)] }
	return []func(){
		func() { b.restart(b.leader()) },
		func() { b.restart(follower()) },
		func() { b.restart(b.members...) },
		func() { b.paused(b.leader().signal) },
		func() { // it makes a backup until it dies, and another member leads meanwhile
			leader := b.leader()
			leader.signal(syscall.SIGSTOP)
			time.Sleep(time.Second + b.upTo(time.Second))
			b.restart(leader)
		},
		func() { b.paused(follower().signal) },
		func() { b.restart(b.leader(), follower()) },
	}
}

// disturb makes one incident after another. All files of all bases are there at any time.
func (b *backupChaos) disturb(incidents []func()) {
	for _, incident := range incidents {
		incident()
		time.Sleep(200*time.Millisecond + b.upTo(variant(500*time.Millisecond, 2*time.Second)))
		b.whole()
	}
}

// whole asserts that each base of the backup has all of its files, and returns the newest base's revision, and the state's clock at the end of
// the log.
func (b *backupChaos) whole() (revision int64, end time.Time) {
	b.t.Helper()
	r, err := backup.Open(b.t.Context(), store.OpenFolder(disk.OS(), b.dir))
	must(b.t, err)
	for _, base := range r.Bases {
		revision, b.files = max(revision, base.Revision), max(b.files, len(base.Files))
		if _, _, err := r.Bytes(&base); err != nil {
			b.t.Errorf("the base of entry %d lacks a file: %v", base.Index, err)
		}
	}
	reaches, err := r.Reaches()
	must(b.t, err)
	for _, reach := range reaches {
		if wall := time.Unix(0, reach.Wall); wall.After(end) {
			end = wall
		}
	}
	return revision, end
}

// upToDate waits until the backup has the newest acknowledged put, and returns how long that took. It restores nothing before the log is as new.
func (b *backupChaos) upToDate() time.Duration {
	b.t.Helper()
	puts, waits := b.model.acknowledged(), time.Now()
	newest := puts[len(puts)-1]
	for time.Since(waits) < processWait {
		if _, end := b.whole(); !end.Before(newest.begun) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	reaches(b.t, b.dir, newest.revision, processWait)
	return time.Since(waits)
}

// calm waits for a base of what is written from now on.
func (b *backupChaos) calm() {
	b.t.Helper()
	after, begun := b.model.newest(), time.Now()
	for {
		if newest, _ := b.whole(); newest > after {
			return
		}
		if time.Since(begun) > processWait {
			b.t.Fatalf("the backup has no base behind revision %d after %v", after, processWait)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// TestAdverseBackup: the leader of three members makes a backup in a folder, under load, while processes are killed
// with kill -9, and stopped and continued. Each moment that is restored then is what was acknowledged, the backup is undamaged, and after the
// loss of all hosts it has what was acknowledged two seconds before.
func TestAdverseBackup(t *testing.T) {
	if !fullVariant() {
		t.Skip("real processes are killed for three minutes: QKV_FULL=1; the simulator kills simulated ones")
	}
	seed, keep := cmp.Or(*backupSeed, rand.Uint64()), time.Minute
	t.Logf("seed: -adverse.backupseed=%d", seed)
	dir := backupFolder(t)
	b := &backupChaos{t: t, dir: dir, model: &chaosModel{doubts: map[string]string{}}, r: rand.New(rand.NewPCG(seed, seed))}
	b.clusterProcess = startProcesses(t, 3, "--backup", dir, "--backup-every", "2s", "--backup-keep", keep.String())
	for n := range chaosWriters {
		b.clients = append(b.clients, b.open(n, processWait))
	}
	b.history()
	first, err := b.clients[0].Put(context.Background(), []byte("first"), nil)
	must(t, err)
	reaches(t, dir, first.Revision, processWait)
	begun := time.Now()
	b.writes()
	defer b.quiet()
	time.Sleep(time.Second)
	b.calm()

	incidents := b.incidents()
	for half := range 2 {
		for time.Since(begun) < time.Duration(half+1)*time.Minute {
			b.disturb([]func(){incidents[b.r.IntN(len(incidents))]})
		}
		b.calm()
	}

	b.quiet()
	took := b.upToDate()
	puts, old := b.model.acknowledged(), 0
	late := slices.DeleteFunc(slices.Clone(puts), func(p backedUp) bool { return time.Since(p.ended) > keep/2 })
	for _, of := range [][]backedUp{puts, late} {
		for range variant(5, 10) {
			if len(of) > 0 && !b.model.restores(t, dir, of[b.r.IntN(len(of))], keep, b.r) {
				old++
			}
		}
	}
	if b.whole(); b.files < 2 {
		t.Error("no base has a part")
	}
	said := b.qkv("backup", "verify", dir).exits(t, exitOK).stdout
	if strings.Contains(said, "! ") || !strings.Contains(said, "undamaged: every moment from ") {
		t.Errorf("qkv backup verify says %s", said)
	}
	t.Logf("figures: seed %d: %d kills and %d stops in %v, %d puts acknowledged and %d in doubt, the last one in the backup after %v; bases of up to %d files; %d moments were too old",
		seed, b.kills, b.stops, time.Since(begun).Round(time.Second), len(puts), len(b.model.doubts), took.Round(time.Millisecond), b.files, old)
	b.loseAll()
}

// loseAll kills all processes at once under load, removes all data folders, and restores the cluster from the backup.
func (b *backupChaos) loseAll() {
	t := b.t
	b.writes()
	before := b.model.newest()
	var killed time.Time
	for waits := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		// The state's clock is this host's: the backup has all that was acknowledged before the end of its log. It must come close enough to
		// the present again and again, and then the loss happens; how late it is at a random moment depends on what else this host does.
		_, end := b.whole()
		if killed = time.Now(); b.model.newest() > before+100 && killed.Sub(end) < 1800*time.Millisecond {
			break
		}
		if killed.Sub(waits) > processWait {
			t.Fatalf("the backup is not up to date after %v: it ends at %v", processWait, end)
		}
	}
	b.kill(b.members...)
	b.quiet()
	list := b.members[0].arguments[slices.Index(b.members[0].arguments, "--initial-cluster")+1]
	ids, revision := map[string]bool{}, int64(0)
	for _, m := range b.members {
		must(t, os.RemoveAll(m.dataDir))
		said := b.qkv("restore", b.dir, "--name", m.name, "--data-dir", m.dataDir, "--initial-cluster", list)
		ids[clusterOf(t, said)] = true
		words := regexp.MustCompile(`: revision (\d+), the newest write of (.+)\n`).FindStringSubmatch(said.stdout)
		if words == nil {
			t.Fatalf("qkv restore does not name the moment: %s", said.stdout)
		}
		revision, _ = strconv.ParseInt(words[1], 10, 64)
		moment, err := time.Parse("2006-01-02 15:04:05 -07:00", words[2]) // the second's begin
		if err != nil || moment.After(time.Now()) || moment.Before(killed.Add(-3*time.Second)) {
			t.Errorf("all was lost at %v, and the newest write is of %v, %v", killed, moment, err)
		}
	}
	if len(ids) != 1 {
		t.Errorf("the hosts restored %d clusters", len(ids))
	}
	for _, p := range b.model.acknowledged() {
		if p.ended.Before(killed.Add(-2*time.Second)) && p.revision > revision {
			t.Errorf("all was lost at %v; revision %d was acknowledged at %v, and %d is restored", killed, p.revision, p.ended, revision)
		}
	}
	for _, m := range b.members { // the backup belongs to the old cluster
		m.arguments = []string{"--initial-cluster", list}
		m.start()
	}
	b.level()
	s := b.open(0, processWait)
	found, err := s.Range(context.Background(), kv.Range{Key: []byte("key "), End: client.Prefix([]byte("key "))})
	must(t, err)
	pairs := map[string]backedUp{}
	for _, pair := range found.KVs {
		pairs[string(pair.Key)] = backedUp{value: string(pair.Value), revision: pair.ModRevision}
	}
	b.model.compare(t, revision, func(key string) (string, int64) { return pairs[key].value, pairs[key].revision })
	_, err = s.Put(context.Background(), []byte("first"), []byte("again"))
	must(t, err)
}
