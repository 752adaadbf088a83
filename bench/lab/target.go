package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"qkv/bench"
	"qkv/bench/result"
)

// target is a running cluster, by the addresses of its members.
type target struct {
	name, prefix string
	addresses    []string
}

// targetsOf reads NAME=URL, of which those with one name are members of one cluster.
func targetsOf(given list, maintain bool, prefix string) (all []*target, err error) {
	for _, g := range given {
		name, text, _ := strings.Cut(g, "=")
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" || u.Port() == "" {
			return nil, fmt.Errorf("-target %q: NAME=URL is needed, as in etcd=http://127.0.0.1:12379: %w", g, errUsage)
		}
		if !maintain {
			return nil, fmt.Errorf("-target: the load compacts %s: its history would be lost for all its clients; "+
				"allow it with -allow-maintenance: %w", text, errUsage)
		}
		at := slices.IndexFunc(all, func(t *target) bool { return t.name == name })
		if at < 0 {
			at, all = len(all), append(all, &target{name: name, prefix: prefix})
		}
		all[at].addresses = append(all[at].addresses, u.Host)
	}
	return all, nil
}

// Describe implements bench.Side.
func (t *target) Describe() result.Side {
	return result.Side{Name: t.name, Target: "http://" + strings.Join(t.addresses, ",http://")}
}

// Start implements bench.Side.
func (t *target) Start(ctx context.Context, _ int) (bench.Cluster, error) {
	connections, err := bench.DialEtcd(ctx, t.addresses[0], 1)
	if err != nil {
		return nil, err
	}
	return &targetCluster{t, connections[0]}, nil
}

// targetCluster is a running cluster in one step, whose end removes the step's keys.
type targetCluster struct {
	*target
	connection *bench.Etcd
}

// Stores implements bench.Cluster.
func (c *targetCluster) Stores() []bench.Store { return []bench.Store{c.connection} }

// KillLeader implements bench.Cluster: the server belongs to another owner.
func (c *targetCluster) KillLeader(context.Context) error { return bench.ErrNotPossible }

// Addresses implements KubeCluster.
func (c *targetCluster) Addresses() []string { return c.addresses }

// Metrics implements bench.Metered.
func (c *targetCluster) Metrics() (all []string) {
	for _, a := range c.addresses {
		all = append(all, "http://"+a+"/metrics")
	}
	return all
}

// Stop implements bench.Cluster.
func (c *targetCluster) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), localWait)
	defer cancel()
	return errors.Join(c.connection.Remove(ctx, c.prefix), c.connection.Close())
}
