package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"qkv/index/kv"
)

// ErrSeveralClusters is the error of a client whose endpoints belong to different clusters. A write to one cluster is missing in the
// others, so Open fails, and a client that finds such an endpoint later does not use it. Correct Config.Endpoints, or see
// Config.AnyCluster.
var ErrSeveralClusters = errors.New("the endpoints belong to several clusters")

// ErrClusterReplaced is the error of a client whose cluster was restored or recovered: another cluster answers where a member of the
// client's cluster answered, and no member of the client's cluster answers. No retry helps: all revisions, leases and names of
// writes that the program has are of the old cluster. Restart the program. As long as a member of the old cluster answers, the client stays
// with that member.
var ErrClusterReplaced = errors.New("another cluster is there now")

// ClusterError is the error of a client whose endpoints lead to different clusters. It names one member of each.
type ClusterError struct {
	One, Other ClusterMember
	// Since is when the client first found the other cluster in place of its own; zero: both have endpoints of their own.
	Since time.Time
}

// ClusterMember is a member, with the id of its cluster.
type ClusterMember struct {
	Endpoint, Name string
	Cluster        uint64
}

func (m ClusterMember) String() string {
	return fmt.Sprintf("%s (%s) is in cluster %016x", m.Endpoint, m.Name, m.Cluster)
}

func (e *ClusterError) Error() string {
	if !e.Since.IsZero() {
		return fmt.Sprintf("%v, since %s: %v, and %v, which was restored, recovered or begun anew: restart this program",
			ErrClusterReplaced, e.Since.UTC().Format(time.RFC3339), e.Other, e.One)
	}
	return fmt.Sprintf("%v: %v, %v: check that each member was started with its --initial-cluster, and that the list holds no old member", ErrSeveralClusters, e.One, e.Other)
}

// Is makes errors.Is(err, ErrClusterReplaced) true, or errors.Is(err, ErrSeveralClusters).
func (e *ClusterError) Is(target error) bool {
	if e.Since.IsZero() {
		return target == ErrSeveralClusters
	}
	return target == ErrClusterReplaced
}

// sameCluster checks a new connection against the cluster of this client's previous one.
func (l *link) sameCluster(k *conn) error {
	this := &ClusterMember{k.endpoint, k.member.Name, k.member.Cluster}
	if l.config.AnyCluster || l.cluster.CompareAndSwap(nil, this) {
		return nil
	}
	if mine := l.cluster.Load(); mine.Cluster != this.Cluster {
		return &ClusterError{*mine, *this, l.replacedSince(mine, k.endpoint)}
	}
	l.cluster.Store(this)
	return nil
}

// replacedSince returns since when another cluster is in the place of the client's, if the endpoint is the last one that served, or one
// that the members name. Any other endpoint never belonged to the client's cluster.
func (l *link) replacedSince(mine *ClusterMember, endpoint string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if endpoint != mine.Endpoint && !slices.Contains(l.told, endpoint) {
		return time.Time{}
	}
	l.replaced = cmp.Or(l.replaced, time.Now())
	return l.replaced
}

// checkClusters checks the configured endpoints that no member of the cluster names as its own: it asks them for their cluster. An
// endpoint that does not answer within a stagger is not an error: it may be down, and is checked when it answers.
func (l *link) checkClusters(ctx context.Context) error {
	k := l.current.Load()
	if l.config.AnyCluster || k == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.config.DialStagger)
	defer cancel()
	strangers := l.strangers(k)
	errs := make([]error, len(strangers))
	var asking sync.WaitGroup
	for i, endpoint := range strangers {
		asking.Go(func() {
			other, err := l.dialEndpoint(ctx, endpoint)
			if err != nil {
				return
			}
			errs[i] = l.sameCluster(other)
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

// strangers returns the configured endpoints that no member of the cluster names.
func (l *link) strangers(k *conn) []string {
	return slices.DeleteFunc(slices.Clone(l.config.Endpoints), func(endpoint string) bool {
		return endpoint == k.endpoint || slices.ContainsFunc(k.member.Members, func(m kv.Member) bool { return slices.Contains(m.Clients, endpoint) })
	})
}
