package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"qkv/net/wire"
)

// ErrSeveralClusters: endpoints of one list belong to different clusters. What is written to one of them is not in the
// others, so that nothing is asked of any.
var ErrSeveralClusters = errors.New("the endpoints belong to several clusters")

// ClusterError says which two members are not of one cluster.
type ClusterError struct{ One, Other ClusterMember }

// ClusterMember is a member, and the cluster that it belongs to.
type ClusterMember struct {
	Endpoint, Name string
	Cluster        uint64
}

func (m ClusterMember) String() string {
	return fmt.Sprintf("%s (%s) is in cluster %016x", m.Endpoint, m.Name, m.Cluster)
}

func (e *ClusterError) Error() string {
	return fmt.Sprintf("%v: %v, %v: was a member started without its --initial-cluster, or an old one left in the list?", ErrSeveralClusters, e.One, e.Other)
}

// Is makes errors.Is(err, ErrSeveralClusters) true.
func (e *ClusterError) Is(target error) bool { return target == ErrSeveralClusters }

// sameCluster holds a new connection against the cluster of this client's first one.
func (c *Client) sameCluster(k *conn) error {
	this := &ClusterMember{k.endpoint, k.member.Name, k.member.Cluster}
	if c.config.AnyCluster || c.cluster.CompareAndSwap(nil, this) {
		return nil
	}
	if first := c.cluster.Load(); first.Cluster != this.Cluster {
		return &ClusterError{*first, *this}
	}
	return nil
}

// checkClusters compares the endpoints that were given: those that no member of the cluster names as its own are asked
// which cluster they belong to. Who does not answer within a stagger is no error: it may be down, and is compared when it
// answers.
func (c *Client) checkClusters(ctx context.Context) error {
	k := c.current.Load()
	if c.config.AnyCluster || k == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.DialStagger)
	defer cancel()
	strangers := c.strangers(k)
	errs := make([]error, len(strangers))
	var asking sync.WaitGroup
	for i, endpoint := range strangers {
		asking.Go(func() {
			other, err := c.dialEndpoint(ctx, endpoint)
			if err != nil {
				return
			}
			errs[i] = c.sameCluster(other)
			other.fail(errDone)
		})
	}
	asking.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// strangers are the endpoints given that no member of the cluster names.
func (c *Client) strangers(k *conn) []string {
	return slices.DeleteFunc(slices.Clone(c.config.Endpoints), func(endpoint string) bool {
		return endpoint == k.endpoint || slices.ContainsFunc(k.member.Members, func(m wire.Member) bool { return slices.Contains(m.Clients, endpoint) })
	})
}
