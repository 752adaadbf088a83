package bench

import (
	"fmt"

	"qkv/net/client"
)

// Store is what a load is made on.
type Store interface {
	// Do begins a request and returns; it calls the request's Done once, from any goroutine, also before it returns.
	// Until then the request is its own.
	Do(r *Request)
}

// Request is one request. It is used again when it is done.
type Request struct {
	Op         Op // Put, Get or GetSerializable
	Key, Value []byte
	Done       func(error)

	// Made once, so that a request costs no closure.
	wrote func(client.Written, error)
	got   func(client.KeyValue, bool, error)
}

// Native is a store by qkv's own client.
type Native struct{ *client.Client }

// Natives are several of them.
func Natives(clients []*client.Client) (all []Store) {
	for _, c := range clients {
		all = append(all, Native{c})
	}
	return all
}

// Do is as Store says.
func (n Native) Do(r *Request) {
	if r.wrote == nil {
		r.wrote = func(_ client.Written, err error) { r.Done(err) }
		r.got = func(_ client.KeyValue, _ bool, err error) { r.Done(err) }
	}
	switch r.Op {
	case Put:
		n.PutAsync(r.Key, r.Value, r.wrote)
	case Get, GetSerializable:
		n.GetAsync(r.Key, r.Op == GetSerializable, r.got)
	default:
		panic(fmt.Sprintf("bench: %v is no request", r.Op))
	}
}
