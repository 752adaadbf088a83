package main

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
)

// TestKubeRates: the writes of a second are the arithmetic, for every number of nodes.
func TestKubeRates(t *testing.T) {
	for _, c := range []struct {
		nodes          int
		held           float64
		renewals, all  int64 // due in ten seconds, while the first pods are deleted
		pods, services int
	}{
		{1000, 1, 1000, 1000 + 50 + 45 + 40 + 35 + 30 - 5*5 + 0 + 200 + 20 + 25, 30_000, 100},
		{100, 0.1, 100, 142, 300, 10},
		{5, 0, 5, 8, 0, 1},
	} {
		k := Kube{Nodes: c.nodes, Held: c.held}
		s := k.schedule()
		var renewals, all int64
		last := time.Duration(0)
		for {
			action, n, due := s.next()
			if due >= 10*time.Second {
				break
			}
			if due < last {
				t.Fatalf("%d nodes: action %d number %d is due at %v, after one at %v", c.nodes, action, n, due, last)
			}
			last = due
			all++
			if kubeActions[action].resource == kubeLeases {
				renewals++
			}
		}
		if renewals != c.renewals || all < c.all-3 || all > c.all+3 {
			t.Errorf("%d nodes: %d writes, %d of them renewals; want %d and %d", c.nodes, all, renewals, c.all, c.renewals)
		}
		if pods, _ := k.held(kubePods); pods != c.pods {
			t.Errorf("%d nodes: %d pods are held, want %d", c.nodes, pods, c.pods)
		}
		if services, _ := k.held(kubeEndpoints); services != c.services {
			t.Errorf("%d nodes: %d Endpoints are held, want %d", c.nodes, services, c.services)
		}
	}
}

// TestKubePodOrder: each pod is created, updated three times and deleted, in this order, a gap apart.
func TestKubePodOrder(t *testing.T) {
	s := Kube{Nodes: 2000}.schedule()
	var verbs []kubeVerb
	var dues []time.Duration
	for {
		action, n, due := s.next()
		if due > 20*time.Second {
			break
		}
		if a := kubeActions[action]; a.resource == kubePods && n == 7 {
			verbs, dues = append(verbs, a.verb), append(dues, due)
		}
	}
	want := []kubeVerb{kubeCreate, kubeUpdate, kubeUpdate, kubeUpdate, kubeDelete}
	if len(verbs) != len(want) {
		t.Fatalf("%v", verbs)
	}
	for i := range want {
		if verbs[i] != want[i] {
			t.Errorf("%v", verbs)
		}
		if i > 0 && (dues[i]-dues[i-1] < kubePodGap || dues[i]-dues[i-1] > kubePodGap+100*time.Millisecond) {
			t.Errorf("%v", dues)
		}
	}
}

func TestKubeVerdict(t *testing.T) {
	good := kubeFigures{renewal: kubeRenewal, watch: kubeWatch, late: kubeLate, requests: 1000, failed: 1}
	for _, c := range []struct {
		name   string
		change func(*kubeFigures)
		want   kubeVerdict
	}{
		{"at its limits", func(*kubeFigures) {}, kubeHeld},
		{"renewals", func(f *kubeFigures) { f.renewal++ }, kubeSlow},
		{"watches", func(f *kubeFigures) { f.watch++ }, kubeSlow},
		{"failures", func(f *kubeFigures) { f.failed = 2 }, kubeSlow},
		{"a starved watch", func(f *kubeFigures) { f.missed = 1 }, kubeSlow},
		{"no request", func(f *kubeFigures) { f.requests, f.failed = 0, 0 }, kubeSlow},
		{"late", func(f *kubeFigures) { f.late++ }, kubeInvalid},
		{"late and slow", func(f *kubeFigures) { f.late++; f.renewal *= 9 }, kubeInvalid},
	} {
		f := good
		c.change(&f)
		if v, why := f.verdict(); v != c.want || (why == "") != (v == kubeHeld) {
			t.Errorf("%s: %s, %q", c.name, v, why)
		}
	}
}

// TestNodesFinder: the search ends within its share of the true bound, whatever that is.
func TestNodesFinder(t *testing.T) {
	for _, c := range []struct {
		bound, most int
		within      float64
		low, high   int // of the result
	}{
		{7300, 200_000, 0.05, 6950, 7300},
		{7300, 200_000, 0.5, 4000, 7300},
		{400, 200_000, 0.05, 375, 400},
		{1_000_000, 5000, 0.05, 5000, 5000},
		{3, 5000, 0.05, 0, 0},
	} {
		f := nodesFinder{from: 1000, most: c.most, within: c.within}
		steps := 0
		for n, more := f.next(); more; n, more = f.next() {
			if steps++; steps > 30 {
				t.Fatalf("%+v does not end: %+v", c, f)
			}
			v := kubeHeld
			if n > c.bound {
				v = kubeSlow
			}
			f.note(n, v)
		}
		if f.good < c.low || f.good > c.high {
			t.Errorf("%+v: found %d", c, f.good)
		}
	}
	again := nodesFinder{from: 1000, most: 5000, within: 0.05, tries: 2}
	again.note(1000, kubeSlow)
	if n, more := again.next(); n != 1000 || !more {
		t.Errorf("after the first of two tries of 1000 nodes, %d are next", n)
	}
	again.note(1000, kubeHeld)
	if n, _ := again.next(); n != 2000 || again.good != 1000 {
		t.Errorf("after 1000 nodes held, %d are next", n)
	}
	f := nodesFinder{from: 1000, most: 5000, within: 0.05}
	f.mark(500, kubeSlow)
	f.mark(1000, kubeHeld)
	f.mark(500, kubeSlow)
	if f.good != 1000 || f.bad != 0 {
		t.Errorf("1000 nodes held: %+v", f)
	}
	f.mark(2000, kubeSlow)
	f.mark(2000, kubeInvalid)
	if f.bad != 2000 || f.invalid {
		t.Errorf("2000 nodes did not hold in a valid step: %+v", f)
	}
	f = nodesFinder{from: 1000, most: 5000, within: 0.05}
	f.note(1000, kubeInvalid)
	if n, more := f.next(); more || !f.invalid {
		t.Errorf("after an invalid first step %d nodes are tried", n)
	}
}

// TestKubeDeliveries: a delivery counts from the answer, an event before the answer counts as immediate, and missing events are counted.
func TestKubeDeliveries(t *testing.T) {
	var m meter
	begun := time.Now()
	m.begun = begun
	d := &kubeDeliveries{meter: &m}
	at := func(ms int) time.Time { return begun.Add(time.Duration(ms) * time.Millisecond) }
	d.event(5, 0, at(1)) // before the answer
	d.answered(5, at(10))
	d.event(5, 1, at(30))
	d.event(5, 1, at(90)) // a second time, from a watch that was created anew
	d.event(5, 2, at(50))
	if r := m.report(); r.Done != 3 || r.Latencies.Max < 39*time.Millisecond || r.Latencies.Max > 41*time.Millisecond {
		t.Errorf("%+v", r)
	}
	if n := d.await(t.Context(), time.Millisecond); n != 0 {
		t.Errorf("%d are missed", n)
	}
	d.event(6, 0, at(60)) // its write was never answered
	d.answered(7, at(60))
	d.event(7, 2, at(61))
	if n := d.await(t.Context(), time.Millisecond); n != 2 {
		t.Errorf("%d are missed, want 2", n)
	}
	next := int64(7 + len(d.slots))
	d.answered(next, at(70)) // takes the entry
	if n := d.await(t.Context(), time.Millisecond); n != 2+kubeServers {
		t.Errorf("%d are missed, want %d", n, 2+kubeServers)
	}
}

// TestKubeLateness: lateness counts from the time when a request was due.
func TestKubeLateness(t *testing.T) {
	var m meter
	begun := time.Now()
	m.begun = begun
	for i := range 200 {
		due := begun.Add(time.Duration(i) * time.Millisecond)
		late := time.Duration(0)
		if i%50 == 0 {
			late = 20 * time.Millisecond
		}
		m.end(due, due.Add(late), nil)
	}
	if v, _ := (kubeFigures{late: m.report().Latencies.P99, requests: 200}).verdict(); v != kubeInvalid {
		t.Errorf("2 %% of the requests are 20 ms late: %s", v)
	}
}

// pagesOnly is a server of etcd's API without RangeStream, as T4's is: two pages of one object each.
type pagesOnly struct {
	etcdserverpb.UnimplementedKVServer
	pages   atomic.Int64
	repeats atomic.Int64 // second pages that do not begin right behind the last key of the first
}

func (s *pagesOnly) Range(_ context.Context, q *etcdserverpb.RangeRequest) (*etcdserverpb.RangeResponse, error) {
	s.pages.Add(1)
	if q.Revision != 0 && !bytes.HasSuffix(q.Key, []byte{'x', 0}) {
		s.repeats.Add(1)
	}
	key := append(slices.Clone(q.Key), 'x')
	return &etcdserverpb.RangeResponse{
		Header: &etcdserverpb.ResponseHeader{Revision: 1}, More: q.Revision == 0, Kvs: []*mvccpb.KeyValue{{Key: key}},
	}, nil
}

// pagesRun is a run on such a server.
func pagesRun(t *testing.T, k Kube) (*kubeRun, *pagesOnly) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, store := grpc.NewServer(), &pagesOnly{}
	etcdserverpb.RegisterKVServer(server, store)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	r, err := newKubeRun(k, []string{listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.close() })
	r.begun = time.Now()
	r.pages.begun = r.begun
	return r, store
}

// kubeListsOnce is how many LISTs of each kind are made at once.
const kubeListsOnce = kubeServers * int64(kubeResources)

// TestKubeListsWithoutStream: a server without RangeStream serves all LISTs in pages. No page fails, and none repeats a key.
func TestKubeListsWithoutStream(t *testing.T) {
	r, store := pagesRun(t, Kube{Nodes: 10, Prefix: "p/"})
	r.lists(t.Context())
	pages, stream := r.pages.report(), r.stream.report()
	if pages.Done != 2*kubeListsOnce || pages.Failed+stream.Failed != 0 || stream.Done != 0 ||
		r.unstreamed.Load() != kubeListsOnce || store.pages.Load() != 4*kubeListsOnce || store.repeats.Load() != 0 {
		t.Errorf("pages %+v, stream %+v, %d in place of a stream, %d requests, %d of them repeat a key",
			pages, stream, r.unstreamed.Load(), store.pages.Load(), store.repeats.Load())
	}
}

// TestKubeListers: more clients list during the whole step.
func TestKubeListers(t *testing.T) {
	for _, listers := range []int{0, 2} {
		r, _ := pagesRun(t, Kube{Nodes: 1, Prefix: "p/", Step: 300 * time.Millisecond, CompactEvery: time.Hour, Listers: listers})
		r.do(t.Context(), nil)
		if n := r.unstreamed.Load(); (n > kubeListsOnce) != (listers > 0) {
			t.Errorf("%d listers: %d LISTs", listers, n)
		}
	}
}

// TestKubePages: of a page that arrives in pieces, the codec keeps revision, more, and the last key.
func TestKubePages(t *testing.T) {
	page := &etcdserverpb.RangeResponse{Header: &etcdserverpb.ResponseHeader{Revision: 7}, More: true, Count: 1 << 40}
	for i := range 300 {
		page.Kvs = append(page.Kvs, &mvccpb.KeyValue{Key: bytes.Repeat([]byte{byte(i)}, i), ModRevision: int64(i), Value: make([]byte, 5*i)})
	}
	page.Kvs[0].Key = []byte("k")
	encoded, err := kubeCodec.Marshal(page)
	if err != nil {
		t.Fatal(err)
	}
	all := encoded.Materialize()
	for _, size := range []int{1, 7, len(all)} {
		var data mem.BufferSlice
		for piece := range slices.Chunk(all, size) {
			data = append(data, mem.SliceBuffer(piece))
		}
		var got etcdserverpb.RangeResponse
		if err := kubeCodec.Unmarshal(data, &got); err != nil || got.Header.Revision != 7 || !got.More || !bytes.Equal(got.Kvs[0].Key, page.Kvs[299].Key) {
			t.Errorf("in pieces of %d: %v, revision %d, more %t, key of %d bytes", size, err, got.Header.Revision, got.More, len(got.Kvs[0].Key))
		}
		if err := kubeCodec.Unmarshal(data[:len(data)-1], &got); err == nil && size == 7 {
			t.Error("a page without its end is taken")
		}
	}
}
