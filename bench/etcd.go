package bench

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
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

// DialEtcd opens connections in plain text to a server, which the caller closes.
func DialEtcd(ctx context.Context, address string, connections int) (all []*Etcd, err error) {
	defer func() {
		if err != nil {
			for _, e := range all {
				_ = e.Close()
			}
			all = nil
		}
	}()
	for range connections {
		c, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
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
