package bench

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// largeAnswers allows an answer of a million keys.
var largeAnswers = grpc.MaxCallRecvMsgSize(2 << 30)

// etcdTimeout bounds one request: a stall is measured, a dead server is an error.
const etcdTimeout = 30 * time.Second

// Etcd is a store through etcd's API, over one connection. Its requests are plain stub calls, one goroutine each, as in etcd's own client.
type Etcd struct {
	connection *grpc.ClientConn
	kv         etcdserverpb.KVClient
}

// DialEtcd opens connections to a server, which the caller closes. Nil credentials mean plain text.
func DialEtcd(ctx context.Context, address string, connections int, tls credentials.TransportCredentials) (all []*Etcd, err error) {
	if tls == nil {
		tls = insecure.NewCredentials()
	}
	defer func() {
		if err != nil {
			for _, e := range all {
				_ = e.Close()
			}
			all = nil
		}
	}()
	for range connections {
		c, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(tls))
		if err != nil {
			return all, fmt.Errorf("bench: %s: %w", address, err)
		}
		e := &Etcd{connection: c, kv: etcdserverpb.NewKVClient(c)}
		all = append(all, e)
		short, cancel := context.WithTimeout(ctx, etcdTimeout)
		_, err = etcdserverpb.NewMaintenanceClient(c).Status(short, &etcdserverpb.StatusRequest{}, grpc.WaitForReady(false))
		cancel()
		if err != nil {
			return all, fmt.Errorf("bench: %s does not answer as an etcd v3 server: %w", address, err)
		}
	}
	return all, nil
}

// A client of etcd's API notices a silent member by these, which are etcdctl's defaults.
const (
	keepAliveEvery   = 2 * time.Second
	keepAliveTimeout = 6 * time.Second
)

// EtcdInOrder is a store over one connection to the first address that answers, and to the next ones when that fails.
func EtcdInOrder(addresses []string) (*Etcd, error) {
	c, err := dialAll(addresses, grpc.WithKeepaliveParams(keepalive.ClientParameters{
		Time: keepAliveEvery, Timeout: keepAliveTimeout, PermitWithoutStream: true,
	}))
	if err != nil {
		return nil, err
	}
	return &Etcd{connection: c, kv: etcdserverpb.NewKVClient(c)}, nil
}

// dialAll is a connection to a cluster by the addresses of its members.
func dialAll(addresses []string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	r := manual.NewBuilderWithScheme("cluster")
	var state resolver.State
	for _, a := range addresses {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: a})
	}
	r.InitialState(state)
	options = append(options, grpc.WithResolvers(r), grpc.WithTransportCredentials(insecure.NewCredentials()))
	return grpc.NewClient("cluster:///members", options...)
}

// Put writes one key.
func (e *Etcd) Put(ctx context.Context, key, value []byte) error {
	_, err := e.kv.Put(ctx, &etcdserverpb.PutRequest{Key: key, Value: value})
	return err
}

// Position is the server's view of its cluster: the ids of itself and of the leader, and its applied index.
func (e *Etcd) Position(ctx context.Context) (self, leader, applied uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	s, err := etcdserverpb.NewMaintenanceClient(e.connection).Status(ctx, &etcdserverpb.StatusRequest{})
	if err != nil {
		return 0, 0, 0, err
	}
	return s.Header.MemberId, s.Leader, s.RaftAppliedIndex, nil
}

// MoveLeader hands the leadership of this server over to another one.
func (e *Etcd) MoveLeader(ctx context.Context, to uint64) error {
	_, err := etcdserverpb.NewMaintenanceClient(e.connection).MoveLeader(ctx, &etcdserverpb.MoveLeaderRequest{TargetID: to})
	return err
}

// Leads tells whether the server leads its cluster.
func (e *Etcd) Leads(ctx context.Context) (bool, error) {
	self, leader, _, err := e.Position(ctx)
	return err == nil && self == leader, err
}

// Readmit removes the member with a name from its cluster, and adds an unstarted one with the same peer addresses.
func (e *Etcd) Readmit(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	cluster := etcdserverpb.NewClusterClient(e.connection)
	list, err := cluster.MemberList(ctx, &etcdserverpb.MemberListRequest{Linearizable: true})
	if err != nil {
		return err
	}
	for _, m := range list.Members {
		if m.Name != name {
			continue
		}
		if _, err := cluster.MemberRemove(ctx, &etcdserverpb.MemberRemoveRequest{ID: m.ID}); err != nil {
			return err
		}
		_, err := cluster.MemberAdd(ctx, &etcdserverpb.MemberAddRequest{PeerURLs: m.PeerURLs})
		return err
	}
	return fmt.Errorf("bench: there is no member %s", name)
}

// Close closes the connection.
func (e *Etcd) Close() error { return e.connection.Close() }

// Do implements Store.
func (e *Etcd) Do(r *Request) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), etcdTimeout)
		defer cancel()
		var err error
		switch r.Op {
		case Put:
			_, err = e.kv.Put(ctx, &etcdserverpb.PutRequest{Key: r.Key, Value: r.Value})
		case Get, GetSerializable:
			_, err = e.kv.Range(ctx, &etcdserverpb.RangeRequest{Key: r.Key, Serializable: r.Op == GetSerializable})
		default:
			panic(fmt.Sprintf("bench: %v is no request", r.Op))
		}
		r.Done(err)
	}()
}

// Remove deletes the keys with a prefix, which must not be empty.
func (e *Etcd) Remove(ctx context.Context, prefix string) error {
	if prefix == "" {
		panic("bench: everything would be removed")
	}
	end := []byte(prefix)
	end[len(end)-1]++
	_, err := e.kv.DeleteRange(ctx, &etcdserverpb.DeleteRangeRequest{Key: []byte(prefix), RangeEnd: end})
	return err
}
