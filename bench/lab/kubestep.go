package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qkv/bench"
)

// KubeCluster is a cluster that serves etcd's API to API servers.
type KubeCluster interface {
	bench.Cluster
	// Addresses are the members' addresses for etcd's API.
	Addresses() []string
}

// replacer is a cluster that can replace the member that KillLeader has killed.
type replacer interface {
	// Replace starts an empty member in the place of the killed one, and returns when it is a voter.
	Replace(ctx context.Context) error
}

// kubeRun is one step on one cluster.
type kubeRun struct {
	Kube
	begun       time.Time
	connections [kubeServers][kubeResources]*grpc.ClientConn
	watchers    []*kubeWatcher
	deliveries  *kubeDeliveries
	values      []byte // source of all values

	renewal, write, watch, read, pages, stream, late meter

	revisions  [kubeResources][]atomic.Int64 // of each object; created pods and events share entries
	leases     [kubeServers]kubeLease
	inFlight   chan struct{}
	running    sync.WaitGroup
	requests   atomic.Int64
	conflicts  atomic.Int64 // writes that were repeated with the revision of the answer
	newest     atomic.Int64 // revision of the newest answer
	unstreamed atomic.Int64 // LISTs in pages in place of RangeStream, which the server does not have
}

// kubeLease is the lease that an API server's newest events share.
type kubeLease struct {
	mu   sync.Mutex
	id   int64
	used int
}

// errShed is the failure of a request that exceeds the requests in flight.
var errShed = fmt.Errorf("more than %d requests in flight: this one was not sent", kubeInFlight)

// kubeDial connects an API server to all members in turn, as etcd's own client does.
func kubeDial(addresses []string) (*grpc.ClientConn, error) {
	inTurn := grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`)
	return dial(addresses, inTurn, grpc.WithDefaultCallOptions(largeAnswers))
}

// newKubeRun connects the API servers.
func newKubeRun(k Kube, addresses []string) (*kubeRun, error) {
	r := &kubeRun{Kube: k, inFlight: make(chan struct{}, kubeInFlight), values: make([]byte, 32<<10)}
	r.deliveries = &kubeDeliveries{meter: &r.watch}
	random := rand.New(rand.NewPCG(1, 1))
	for i := range r.values {
		r.values[i] = byte(random.Uint32())
	}
	for resource := range kubeResources {
		objects, _ := k.held(resource)
		if resource == kubePods || resource == kubeEvents {
			objects = kubeInFlight // only those that the step creates are written again
		}
		r.revisions[resource] = make([]atomic.Int64, objects)
		for server := range kubeServers {
			c, err := kubeDial(addresses)
			if err != nil {
				return nil, errors.Join(err, r.close())
			}
			r.connections[server][resource] = c
		}
	}
	return r, nil
}

func (r *kubeRun) close() (err error) {
	for _, server := range r.connections {
		for _, c := range server {
			if c != nil {
				err = errors.Join(err, c.Close())
			}
		}
	}
	return err
}

func (r *kubeRun) value(bytes int, n int64) []byte {
	from := int(n) % (len(r.values) - bytes)
	return r.values[from : from+bytes]
}

// fill creates the objects that exist before the step.
func (r *kubeRun) fill(ctx context.Context) error {
	var next [kubeResources]atomic.Int64
	var mu sync.Mutex
	var failed error
	var fillers sync.WaitGroup
	for resource := range kubeResources {
		objects, bytes := r.held(resource)
		for i := range kubeFillers {
			fillers.Go(func() {
				store := etcdserverpb.NewKVClient(r.connections[i%kubeServers][resource])
				for ctx.Err() == nil {
					n := next[resource].Add(1) - 1
					if n >= int64(objects) {
						return
					}
					q := &etcdserverpb.PutRequest{Key: keyOf(r.prefix(resource), int(n)), Value: r.value(bytes, n)}
					a, err := store.Put(ctx, q, grpc.WaitForReady(true))
					if err != nil {
						mu.Lock()
						failed = errors.Join(failed, err)
						mu.Unlock()
						return
					}
					r.newest.Store(a.Header.Revision)
					if resource != kubePods {
						r.revisions[resource][n].Store(a.Header.Revision)
					}
				}
			})
		}
	}
	fillers.Wait()
	return errors.Join(failed, ctx.Err())
}

// follow starts the watches, and returns when all exist. stop ends them.
func (r *kubeRun) follow(ctx context.Context) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var over, ready sync.WaitGroup
	for server := range kubeServers {
		for resource := range kubeResources {
			w := &kubeWatcher{run: r, server: server, resource: resource, changed: make(chan struct{})}
			w.client = etcdserverpb.NewWatchClient(r.connections[server][resource])
			r.watchers = append(r.watchers, w)
			ready.Add(1)
			over.Go(func() { w.follow(ctx, ready.Done) })
		}
	}
	all := make(chan struct{})
	go func() { ready.Wait(); close(all) }()
	select {
	case <-all:
		return func() { cancel(); over.Wait() }, nil
	case <-time.After(etcdTimeout):
		err = errors.New("the watches were not created in time")
	case <-ctx.Done():
		err = ctx.Err()
	}
	cancel()
	over.Wait()
	for _, w := range r.watchers { // ends the goroutine that waits for all
		if !w.created.Load() {
			ready.Done()
		}
	}
	return nil, err
}

// do runs the step: the writes in an open loop, beside LISTs, compactions and consistent reads.
func (r *kubeRun) do(ctx context.Context, kill func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	step, ended := context.WithDeadline(ctx, r.begun.Add(r.Step))
	defer ended()
	var beside sync.WaitGroup
	beside.Go(func() { r.maintain(step, ctx) })
	for _, w := range r.watchers {
		beside.Go(func() { r.readConsistently(step, w) })
	}
	for i := range r.Listers {
		beside.Go(func() {
			for bench.Pause(step, errorPause) == nil {
				r.list(ctx, i%kubeServers, kubePods)
			}
		})
	}
	if r.Kill {
		beside.Go(func() {
			if bench.Pause(step, r.Step/2) == nil {
				kill(ctx)
			}
		})
	}
	schedule := r.schedule()
	for {
		action, n, due := schedule.next()
		if due >= r.Step {
			break
		}
		bench.SleepUntil(ctx, r.begun.Add(due))
		if ctx.Err() != nil {
			break
		}
		r.start(ctx, kubeActions[action], n, r.begun.Add(due))
	}
	time.AfterFunc(etcdTimeout, cancel)
	r.running.Wait()
	beside.Wait()
}

// start starts one write, which was due at a time.
func (r *kubeRun) start(ctx context.Context, a kubeAction, n int64, due time.Time) {
	meter := &r.write
	if a.resource == kubeLeases {
		meter = &r.renewal
	}
	r.requests.Add(1)
	select {
	case r.inFlight <- struct{}{}:
	default:
		meter.end(due, due, errShed)
		return
	}
	r.running.Go(func() {
		r.late.end(due, time.Now(), nil)
		ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
		defer cancel()
		now, err := r.put(ctx, a, n)
		meter.end(due, now, err)
		<-r.inFlight
	})
}

// put makes one write as kube-apiserver does: a transaction that compares the revision that the API server knows,
// writes, and otherwise reads. After a conflict or an unavailable member it is repeated.
func (r *kubeRun) put(ctx context.Context, a kubeAction, n int64) (time.Time, error) {
	known := &r.revisions[a.resource][n%int64(len(r.revisions[a.resource]))]
	server := int(n % kubeServers)
	var key []byte
	switch {
	case a.resource == kubePods || a.resource == kubeEvents: // beside the held ones
		key = keyOf(r.prefix(a.resource)+"new-", int(n))
		if a.verb == kubeCreate {
			known.Store(0)
		}
	default:
		key = keyOf(r.prefix(a.resource), int(n%int64(len(r.revisions[a.resource]))))
	}
	lease := int64(0)
	if a.resource == kubeEvents {
		var err error
		if lease, err = r.leases[server].use(ctx, r.connections[server][a.resource]); err != nil {
			return time.Now(), err
		}
	}
	store := etcdserverpb.NewKVClient(r.connections[server][a.resource])
	for {
		q := kubeTxn(a, key, r.value(a.bytes, n), known.Load(), lease)
		answer, err := store.Txn(ctx, q)
		now := time.Now()
		switch {
		case status.Code(err) == codes.Unavailable && bench.Pause(ctx, errorPause) == nil:
			continue
		case err != nil:
			return now, err
		case answer.Succeeded:
			if d := answer.Responses[0].GetResponseDeleteRange(); d == nil || d.Deleted > 0 {
				known.Store(answer.Header.Revision)
				r.newest.Store(answer.Header.Revision)
				r.deliveries.answered(answer.Header.Revision, now)
			}
			return now, nil
		}
		found := answer.Responses[0].GetResponseRange().Kvs
		if len(found) > 0 {
			known.Store(found[0].ModRevision)
		}
		if a.verb == kubeCreate || a.verb == kubeDelete && len(found) == 0 {
			return now, nil // an earlier try has done it
		}
		if len(found) == 0 {
			known.Store(0)
		}
		r.conflicts.Add(1)
	}
}

// kubeTxn is kube-apiserver's transaction.
func kubeTxn(a kubeAction, key, value []byte, revision, lease int64) *etcdserverpb.TxnRequest {
	read := &etcdserverpb.RequestOp_RequestRange{RequestRange: &etcdserverpb.RangeRequest{Key: key}}
	put := &etcdserverpb.PutRequest{Key: key, Value: value, Lease: lease}
	change := &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestPut{RequestPut: put}}
	if a.verb == kubeDelete {
		remove := &etcdserverpb.DeleteRangeRequest{Key: key}
		change.Request = &etcdserverpb.RequestOp_RequestDeleteRange{RequestDeleteRange: remove}
	}
	return &etcdserverpb.TxnRequest{
		Compare: []*etcdserverpb.Compare{{
			Key: key, Target: etcdserverpb.Compare_MOD, Result: etcdserverpb.Compare_EQUAL,
			TargetUnion: &etcdserverpb.Compare_ModRevision{ModRevision: revision},
		}},
		Success: []*etcdserverpb.RequestOp{change},
		Failure: []*etcdserverpb.RequestOp{{Request: read}},
	}
}

// use returns the lease for one more event.
func (l *kubeLease) use(ctx context.Context, c *grpc.ClientConn) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.id == 0 || l.used == kubeLeaseOf {
		g, err := etcdserverpb.NewLeaseClient(c).LeaseGrant(ctx, &etcdserverpb.LeaseGrantRequest{TTL: kubeLeaseTime})
		if err != nil {
			return 0, err
		}
		l.id, l.used = g.ID, 0
	}
	l.used++
	return l.id, nil
}

// maintain lists at once everything on all API servers, at the start and after each compaction. Requests may outlast
// the step.
func (r *kubeRun) maintain(step, ctx context.Context) {
	store := etcdserverpb.NewKVClient(r.connections[0][kubeLeases])
	for before := r.newest.Load(); ; {
		r.lists(ctx)
		if bench.Pause(step, r.CompactEvery-time.Since(r.begun)%r.CompactEvery) != nil {
			return
		}
		if before > 0 {
			if _, err := store.Compact(ctx, &etcdserverpb.CompactionRequest{Revision: before}); err != nil {
				r.pages.end(time.Now(), time.Now(), fmt.Errorf("compaction: %w", err))
			}
		}
		before = r.newest.Load()
	}
}

// lists reads all resources on all API servers at once.
func (r *kubeRun) lists(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	var all sync.WaitGroup
	for server := range kubeServers {
		for resource := range kubeResources {
			all.Go(func() { r.list(ctx, server, resource) })
		}
	}
	all.Wait()
}

// readConsistently makes consistent reads of one resource on one API server: it asks for the store's revision, and
// waits until its watch has reached that.
func (r *kubeRun) readConsistently(ctx context.Context, w *kubeWatcher) {
	store := etcdserverpb.NewKVClient(r.connections[w.server][w.resource])
	prefix := r.prefix(w.resource)
	for bench.Pause(ctx, kubeReadEvery) == nil {
		begun := time.Now()
		one := &etcdserverpb.RangeRequest{Key: []byte(prefix), RangeEnd: prefixEnd(prefix), Limit: 1}
		answer, err := store.Range(ctx, one)
		if err == nil {
			err = w.await(ctx, answer.Header.Revision)
		}
		if ctx.Err() != nil || status.Code(err) == codes.DeadlineExceeded { // the step has ended
			return
		}
		r.read.end(begun, time.Now(), err)
	}
}
