package main

import (
	"fmt"
	"time"
)

// Kube is the load of a Kubernetes control plane: the rates and sizes of a cluster of so many nodes, and the limits by
// which a step is judged.
type Kube struct {
	Nodes        int
	Held         float64       // share of the 30 pods a node that are held; 1
	Step         time.Duration // duration of one step
	CompactEvery time.Duration // interval of compactions, each followed by LISTs
	Listers      int           // clients that list all pods again and again during the step
	Prefix       string        // of all keys
	Kill         bool          // kill the leader in the middle of the step, and replace it
}

// The limits of a step. A larger lateness than kubeLate would distort the 50 ms that are judged.
const (
	kubeRenewal = 50 * time.Millisecond  // p99 of lease renewals
	kubeWatch   = 100 * time.Millisecond // p99 from a write's answer to its event
	kubeLate    = 10 * time.Millisecond  // p99 of the generator's own delay of a request
	kubeFailed  = 0.001                  // share of failed requests
)

// Sizes of the load that do not depend on the number of nodes.
const (
	kubeServers    = 3 // API servers
	kubePodsOfNode = 30
	kubePage       = 500  // objects of a page of a LIST
	kubeLeaseTime  = 3600 // seconds of an event's lease
	kubeLeaseOf    = 1000 // events that share a lease, as in kube-apiserver
	kubePodGap     = time.Second
	kubeReadEvery  = time.Second            // between consistent reads of a resource by one API server
	kubeAskEvery   = 100 * time.Millisecond // between requests for progress while a consistent read waits
	kubeInFlight   = 10_000                 // limit of the requests in flight, which bounds the generator's memory
	kubeFillers    = 32                     // concurrent requests that create the held objects
	kubeEndpointOf = 10                     // nodes for each Endpoints object
)

// kubeResource is one of the resources of the load; each API server has one connection and one watch for each.
type kubeResource uint8

const (
	kubeLeases kubeResource = iota
	kubePods
	kubeEvents
	kubeEndpoints
	kubeResources // number of resources
)

var kubeNames = [kubeResources]string{"leases", "pods", "events", "endpoints"}

// kubeVerb is what an action does with its object.
type kubeVerb uint8

const (
	kubeCreate kubeVerb = iota
	kubeUpdate
	kubeDelete
)

// kubeAction is one kind of write.
type kubeAction struct {
	resource    kubeResource
	verb        kubeVerb
	perThousand float64       // writes a second for 1,000 nodes
	bytes       int           // of the value
	after       time.Duration // delay of the first write: an update follows its object's creation
}

// kubeActions are all writes of a control plane. The n-th action of each pod line concerns the n-th pod.
var kubeActions = []kubeAction{
	{kubeLeases, kubeUpdate, 100, 400, 0},
	{kubePods, kubeCreate, 5, 10_000, 0},
	{kubePods, kubeUpdate, 5, 10_000, kubePodGap},
	{kubePods, kubeUpdate, 5, 10_000, 2 * kubePodGap},
	{kubePods, kubeUpdate, 5, 10_000, 3 * kubePodGap},
	{kubePods, kubeDelete, 5, 0, 4 * kubePodGap},
	{kubeEvents, kubeCreate, 20, 1000, 0},
	{kubeEndpoints, kubeUpdate, 2, 2000, 0},
}

// rate returns the writes a second of an action.
func (k Kube) rate(a kubeAction) float64 { return a.perThousand * float64(k.Nodes) / 1000 }

// held returns how many objects of a resource exist before the step begins, and their size.
func (k Kube) held(r kubeResource) (objects, bytes int) {
	switch r {
	case kubeLeases:
		return k.Nodes, 400
	case kubePods:
		return int(float64(k.Nodes*kubePodsOfNode) * k.Held), 10_000
	case kubeEndpoints:
		return max(1, k.Nodes/kubeEndpointOf), 2000
	default:
		return 0, 0
	}
}

// prefix is the prefix of a resource's keys.
func (k Kube) prefix(r kubeResource) string { return k.Prefix + "registry/" + kubeNames[r] + "/" }

func (k Kube) check() error {
	switch {
	case k.Nodes < 1 || k.Nodes > 1_000_000:
		return fmt.Errorf("%d nodes are not possible", k.Nodes)
	case !(k.Held >= 0 && k.Held <= 1) || k.Step <= 0 || k.CompactEvery <= 0:
		return fmt.Errorf("a step of %v, a compaction each %v and %v of the held pods are not possible",
			k.Step, k.CompactEvery, k.Held)
	}
	return nil
}

// kubeSchedule is the open loop's schedule: each action is due at fixed times, whatever became of the earlier ones.
type kubeSchedule struct {
	rates []float64
	after []time.Duration
	count []int64 // actions that were due so far
}

func (k Kube) schedule() *kubeSchedule {
	s := &kubeSchedule{count: make([]int64, len(kubeActions))}
	for _, a := range kubeActions {
		s.rates, s.after = append(s.rates, k.rate(a)), append(s.after, a.after)
	}
	return s
}

// next returns the action that is due next, its number among its kind, and when it is due after the step's begin. The
// kinds are shifted by parts of their intervals: otherwise equal rates would be due at the same moments.
func (s *kubeSchedule) next() (action int, n int64, due time.Duration) {
	for i, rate := range s.rates {
		phase := (float64(i) + 0.5) / float64(len(s.rates))
		at := s.after[i] + time.Duration((float64(s.count[i])+phase)/rate*float64(time.Second))
		if i == 0 || at < due {
			action, due = i, at
		}
	}
	n = s.count[action]
	s.count[action]++
	return action, n, due
}

// kubeFigures are the figures by which a step is judged.
type kubeFigures struct {
	renewal, watch, late time.Duration // p99
	requests, failed     int64         // writes that were due, and failed ones
	missed               int64         // events that a watch did not deliver until the end
}

// kubeVerdict is the judgement of a step.
type kubeVerdict string

// The verdicts. An invalid step says nothing about the servers.
const (
	kubeHeld    kubeVerdict = "held"
	kubeInvalid kubeVerdict = "invalid: the generator was late"
	kubeSlow    kubeVerdict = "not held"
)

// verdict judges a step, and says why it did not hold.
func (f kubeFigures) verdict() (v kubeVerdict, why string) {
	switch {
	case f.late > kubeLate:
		return kubeInvalid, fmt.Sprintf("its requests started %s late at p99; %s is allowed", round(f.late), kubeLate)
	case f.requests == 0:
		return kubeSlow, "no request was due"
	case float64(f.failed) > kubeFailed*float64(f.requests):
		return kubeSlow, fmt.Sprintf("%d of %d writes failed", f.failed, f.requests)
	case f.missed > 0:
		return kubeSlow, fmt.Sprintf("%d events were not delivered", f.missed)
	case f.renewal > kubeRenewal:
		return kubeSlow, fmt.Sprintf("p99 of renewals is %s; %s is allowed", round(f.renewal), kubeRenewal)
	case f.watch > kubeWatch:
		return kubeSlow, fmt.Sprintf("p99 of watch delivery is %s; %s is allowed", round(f.watch), kubeWatch)
	}
	return kubeHeld, ""
}

// nodesFinder searches for the largest number of nodes that holds: it doubles from a first number on, then bisects.
type nodesFinder struct {
	from, most int
	within     float64 // relative distance of good and bad at which the search ends
	tries      int     // how often a number is tried until it counts as bad; 0: once
	tried      int     // how often the next number was tried in vain
	again      int     // that number; 0: none
	good, bad  int     // the largest number that held, and the smallest that did not; 0: none
	invalid    bool    // the step at bad was invalid: the generator is the bound, not the servers
}

// leastNodes is the smallest number of nodes that is tried.
const leastNodes = 10

// next returns the number to try next; false at the end of the search.
func (f *nodesFinder) next() (int, bool) {
	var n int
	switch {
	case f.again > 0:
		return f.again, true
	case f.good == 0 && f.bad == 0:
		return f.from, true
	case f.bad == 0 && f.good >= f.most:
		return 0, false
	case f.bad == 0:
		return min(2*f.good, f.most), true
	case f.good == 0:
		n = f.bad / 2
		return n, n >= leastNodes && !f.invalid // a late generator says nothing about fewer nodes
	}
	n = (f.good + f.bad) / 2
	return n, n > f.good && float64(f.bad-f.good) > f.within*float64(f.good)
}

// note records the verdict of a step of the search.
func (f *nodesFinder) note(n int, v kubeVerdict) {
	if f.tried++; v != kubeHeld && f.tried < f.tries {
		f.again = n
		return
	}
	f.tried, f.again = 0, 0
	f.mark(n, v)
}

// mark moves a bound. A number that held once is good, also if it did not hold at another time.
func (f *nodesFinder) mark(n int, v kubeVerdict) {
	switch {
	case v == kubeHeld:
		f.good = max(f.good, n)
		if f.bad <= f.good {
			f.bad, f.invalid = 0, false
		}
	case n > f.good && (f.bad == 0 || n < f.bad):
		f.bad, f.invalid = n, v == kubeInvalid
	case n == f.bad:
		f.invalid = f.invalid && v == kubeInvalid
	}
}
