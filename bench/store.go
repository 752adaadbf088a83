package bench

import (
	"fmt"

	"qkv/index/kv"
	"qkv/net/client"
)

// Store is the target of a load.
type Store interface {
	// Do starts a request and returns. It calls the request's Done once, from any goroutine, possibly before it returns. The store owns
	// the request until then.
	Do(r *Request)
}

// Request is one request. It is reused after Done.
type Request struct {
	Op         Op // Put, Get or GetSerializable
	Key, Value []byte
	Done       func(error)

	// Made once, to avoid a closure for each request.
	wrote func(client.Written, error)
	got   func(kv.KeyValue, bool, error)
}

// native is a store through qkv's own client.
type native struct {
	*client.Client
	*client.Admin // for API's Compact
}

var _ API = native{}

// Natives returns the stores of several clients.
func Natives(clients []*client.Client) (all []Store) {
	for _, c := range clients {
		all = append(all, native{c, c.Admin()})
	}
	return all
}

// Do implements Store.
func (n native) Do(r *Request) {
	if r.wrote == nil {
		r.wrote = func(_ client.Written, err error) { r.Done(err) }
		r.got = func(_ kv.KeyValue, _ bool, err error) { r.Done(err) }
	}
	switch r.Op {
	case Put:
		n.PutAsync(r.Key, r.Value, r.wrote)
	case Get, GetSerializable:
		n.GetAsync(r.Key, client.ReadOptions{Serializable: r.Op == GetSerializable}, r.got)
	default:
		panic(fmt.Sprintf("bench: %v is no request", r.Op))
	}
}
