package robustness

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/tests/v3/robustness/client"
	"go.etcd.io/etcd/tests/v3/robustness/identity"
	"go.etcd.io/etcd/tests/v3/robustness/model"
	"go.etcd.io/etcd/tests/v3/robustness/traffic"
	"go.etcd.io/etcd/tests/v3/robustness/validate"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"qkv/net/etcd/compat/member"
)

var (
	runs    = flag.Int("runs", 0, "how many runs; 0: 3, and 50 in full")
	seed    = flag.Uint64("seed", 0, "the `SEED` of the first run's faults; 0: chosen at random")
	against = flag.String("against", member.QKV, "the `PROGRAM` whose members are used: qkv or etcd")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *runs == 0 {
		*runs = 3
		if os.Getenv("QKV_FULL") != "" {
			*runs = 50
		}
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	code := m.Run()
	member.Forget()
	os.Exit(code)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// kinds are etcd's traffics.
var kinds = []struct {
	name    string
	traffic traffic.Traffic
}{
	{"puts", traffic.EtcdPut},
	{"kubernetes", traffic.Kubernetes},
	{"deletes", traffic.EtcdDelete},
}

// TestRobustness runs traffic during faults, and lets etcd's judge decide about all that was answered.
func TestRobustness(t *testing.T) {
	for run := range *runs {
		kind := kinds[run%len(kinds)]
		t.Run(kind.name, func(t *testing.T) {
			one(t, kind.traffic, *seed+uint64(run))
		})
	}
}

// startMembers starts three, which can be cut off from each other if they are qkv's.
func startMembers(t *testing.T) (*member.Cluster, *member.Wires) {
	if *against == member.QKV {
		return member.StartWired(t, 3)
	}
	return member.Start(t, *against, 3), nil
}

func one(t *testing.T, kind traffic.Traffic, seed uint64) {
	cluster, wires := startMembers(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	endpoints := cluster.Endpoints()
	set := client.NewSet(identity.NewIDProvider(), time.Now())
	must(t, traffic.CheckEmptyDatabaseAtStart(ctx, zap.NewNop(), endpoints, set))

	var working sync.WaitGroup
	finish := make(chan struct{})
	profile, watches := traffic.KeyValueVeryLow, traffic.WatchDefault
	limiter := rate.NewLimiter(rate.Limit(profile.MaximalQPS), profile.BurstableQPS)
	keys, storage := traffic.NewKeyStore(10, "key"), traffic.NewKubernetesStorage()
	must(t, traffic.SimulateKeyValueTraffic(ctx, &working, &profile, endpoints, set, kind, traffic.RunTrafficLoopParam{
		QPSLimiter: limiter, IDs: set.IdentityProvider(), LeaseIDStorage: identity.NewLeaseIDStorage(),
		NonUniqueRequestConcurrencyLimiter: traffic.NewConcurrencyLimiter(profile.MaxNonUniqueRequestConcurrency),
		KeyStore:                           keys, Storage: storage, Finish: finish,
	}))
	must(t, traffic.SimulateWatchTraffic(ctx, &working, &watches, endpoints, set, kind, traffic.RunWatchLoopParam{
		Config: watches, QPSLimiter: limiter, KeyStore: keys, Storage: storage, Finish: finish, Logger: zap.NewNop(),
	}))
	faults := inject(t, cluster, wires, rand.New(rand.NewPCG(seed, 0)))
	close(finish)
	working.Wait()

	last, err := set.NewClient(endpoints)
	must(t, err)
	var revision int64
	for revision == 0 {
		r, err := last.Put(ctx, "tombstone", "true")
		if err == nil {
			revision = r.Header.Revision
		}
		must(t, ctx.Err())
	}
	must(t, last.Close())
	reports := set.Reports()
	history := persisted(t, ctx, endpoints, revision)
	// What the judge looks for has no other bound than time: the longer it may look, the less often it says that it does not know.
	result := validate.ValidateAndReturnVisualize(zap.NewNop(), validate.Config{ExpectRevisionUnique: kind.ExpectUniqueRevision()}, reports, history, 5*time.Minute)
	if err := result.Error(); err != nil {
		path := fmt.Sprintf("%s/history-%d.html", os.TempDir(), seed)
		_ = result.Linearization.Visualize(zap.NewNop(), path)
		t.Fatalf("seed %d, %v: etcd's judge says %v; drawn in %s", seed, faults, err, path)
	}
	requests, events := 0, 0
	for _, r := range reports {
		requests += len(r.KeyValue)
		events += r.WatchEventCount()
	}
	t.Logf("%d requests, %d events, %d revisions; %v: accepted", requests, events, revision, faults)
}

// inject makes faults, one after the other, while the traffic goes on.
func inject(t *testing.T, cluster *member.Cluster, wires *member.Wires, random *rand.Rand) (done []string) {
	for range 5 {
		time.Sleep(time.Duration(300+random.IntN(700)) * time.Millisecond) // of traffic without one
		m := cluster.Members[random.IntN(3)]
		if wires != nil && random.IntN(2) == 0 {
			name, cut := partition(m, cluster.Members, random)
			before := wires.Lost.Load()
			wires.Cut(cut)
			for deadline := time.Now().Add(time.Minute); wires.Lost.Load() == before; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s, and nothing is lost", name)
				}
			}
			time.Sleep(time.Duration(500+random.IntN(3000)) * time.Millisecond)
			wires.Cut(nil)
			must(t, m.Await())
			done = append(done, name)
			continue
		}
		if random.IntN(2) == 0 {
			m.Kill()
			time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
			m.Start()
			must(t, m.Await())
			done = append(done, m.Name+" killed")
			continue
		}
		m.Signal(syscall.SIGSTOP)
		time.Sleep(time.Duration(200+random.IntN(2500)) * time.Millisecond)
		m.Signal(syscall.SIGCONT)
		must(t, m.Await())
		done = append(done, m.Name+" stopped")
	}
	time.Sleep(500 * time.Millisecond)
	return done
}

// partition is one by which a member is cut off, from all or from one, or by which it is not heard or does not hear.
func partition(m *member.Member, all []*member.Member, random *rand.Rand) (name string, cut func(from, to *member.Member) bool) {
	switch random.IntN(4) {
	case 0:
		other := all[random.IntN(len(all))]
		for other == m {
			other = all[random.IntN(len(all))]
		}
		return m.Name + " cut off from " + other.Name, func(from, to *member.Member) bool { return from == m && to == other || from == other && to == m }
	case 1:
		return m.Name + " not heard", func(from, _ *member.Member) bool { return from == m }
	case 2:
		return m.Name + " deaf", func(_, to *member.Member) bool { return to == m }
	}
	return m.Name + " cut off", func(from, to *member.Member) bool { return from == m || to == m }
}

// persisted is all that was written up to a revision, one transaction for each.
func persisted(t *testing.T, ctx context.Context, endpoints []string, until int64) (all []model.EtcdRequest) {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	must(t, err)
	defer c.Close()
	revision := int64(1)
	for r := range c.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(2)) {
		must(t, r.Err())
		for _, e := range r.Events {
			if e.Kv.ModRevision != revision {
				if e.Kv.ModRevision != revision+1 {
					t.Fatalf("revision %d follows %d", e.Kv.ModRevision, revision)
				}
				revision++
				all = append(all, model.EtcdRequest{Type: model.Txn, Txn: &model.TxnRequest{}})
			}
			txn := all[len(all)-1].Txn
			op := model.EtcdOperation{Type: model.PutOperation, Put: model.PutOptions{Key: string(e.Kv.Key), Value: model.ToValueOrHash(string(e.Kv.Value))}}
			if e.Type == clientv3.EventTypeDelete {
				op = model.EtcdOperation{Type: model.DeleteOperation, Delete: model.DeleteOptions{Key: string(e.Kv.Key)}}
			}
			txn.OperationsOnSuccess = append(txn.OperationsOnSuccess, op)
		}
		if revision >= until {
			return all
		}
	}
	t.Fatalf("the watch has ended at revision %d of %d", revision, until)
	return nil
}
