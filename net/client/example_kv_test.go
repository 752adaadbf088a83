package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"qkv/index/kv"
	"qkv/net/client"
)

// A program reads the state, and then watches all changes after it: it misses no change, and gets none twice.
func ExampleClient_Watch() {
	c, ctx := exampleClient()
	defer c.Close()
	config := []byte("config/")
	if _, err := c.Put(ctx, []byte("config/color"), []byte("red")); err != nil {
		fmt.Println(err)
		return
	}
	state, err := c.Range(ctx, kv.Range{Key: config, End: client.Prefix(config)})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, pair := range state.KVs {
		fmt.Printf("%s is %s\n", pair.Key, pair.Value)
	}

	w, err := c.Watch(ctx, kv.Watch{Key: config, End: client.Prefix(config), Revision: state.Revision + 1, PrevKV: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	go func() { // another program
		_, _ = c.Put(ctx, []byte("config/color"), []byte("blue"))
		_, _ = c.Delete(ctx, []byte("config/color"))
	}()
	for response, err := range w.All() {
		var compacted *client.CompactedError
		if errors.As(err, &compacted) {
			fmt.Println("too late: read the state again, and watch from there") // the history does not reach back that far
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, e := range response.Events {
			if e.Deleted {
				fmt.Printf("%s, which was %s, is deleted\n", e.KV.Key, e.Before.Value)
				return
			}
			fmt.Printf("%s changes from %s to %s\n", e.KV.Key, e.Before.Value, e.KV.Value)
		}
	}
	// Output:
	// config/color is red
	// config/color changes from red to blue
	// config/color, which was blue, is deleted
}

// Compare and swap: the value changes only if it is still the value that was read. Otherwise, the answer has the newer value.
func ExampleClient_Txn() {
	c, ctx := exampleClient()
	defer c.Close()
	key := []byte("stock/apples")
	if _, err := c.Put(ctx, key, []byte("7")); err != nil {
		fmt.Println(err)
		return
	}
	seen, _, err := c.Get(ctx, key)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, value := range []string{"6", "5"} { // the second one compares with a revision that is old by then
		result, err := c.Txn(ctx, kv.Txn{
			Compares: []kv.Compare{{Key: key, Target: kv.CompareMod, Number: seen.ModRevision}},
			Success:  []kv.Op{{Put: &kv.Put{Key: key, Value: []byte(value)}}},
			Failure:  []kv.Op{{Range: &kv.Range{Key: key}}},
		})
		switch {
		case err != nil:
			fmt.Println(err)
			return
		case result.Succeeded:
			fmt.Println("set to", value)
		default:
			fmt.Printf("not set to %s: it is %s\n", value, result.Answers[0].Range.KVs[0].Value)
		}
	}
	// Output:
	// set to 6
	// not set to 5: it is 6
}

// A write of one call happens at most once, however often the client sends it. A program that may die between a write and its answer
// goes further: it writes the name of the work in the same transaction. The work then happens once, even if the program starts again.
func ExampleClient_Txn_once() {
	c, ctx := exampleClient()
	defer c.Close()
	pay := func(order string) error {
		done := []byte("done/" + order)
		result, err := c.Txn(ctx, kv.Txn{
			Compares: []kv.Compare{{Key: done, Target: kv.CompareCreate, Number: 0}}, // the key does not exist
			Success: []kv.Op{
				{Put: &kv.Put{Key: done}},
				{Put: &kv.Put{Key: []byte("account/ann"), Value: []byte("paid by " + order)}},
			},
		})
		if err != nil {
			return err // also if the outcome is unknown: start again
		}
		fmt.Println(order, "happens now:", result.Succeeded)
		return nil
	}
	for range 2 {
		if err := pay("order-17"); err != nil {
			fmt.Println(err)
			return
		}
	}
	account, _, err := c.Get(ctx, []byte("account/ann"))
	fmt.Printf("%s, version %d, %v\n", account.Value, account.Version, err)
	// Output:
	// order-17 happens now: true
	// order-17 happens now: false
	// paid by order-17, version 1, <nil>
}

// A key with a lease exists as long as its program renews the lease.
func ExampleClient_Grant() {
	c, ctx := exampleClient()
	defer c.Close()
	begun := time.Now()
	lease, err := c.Grant(ctx, 30*time.Second, client.GrantOptions{}) // the member chooses an id
	if err != nil {
		fmt.Println(err)
		return
	}
	alive := c.KeepAlive(lease.ID, lease.TTL, begun)
	defer alive.Stop()
	if _, err := c.PutWith(ctx, kv.Put{Key: []byte("services/web/1"), Value: []byte("10.0.0.7:80"), Lease: lease.ID}); err != nil {
		fmt.Println(err)
		return
	}
	select {
	case <-alive.Lost():
		fmt.Println("the key may be deleted:", alive.Err())
	default:
		fmt.Println("registered")
	}
	if _, err := c.Revoke(ctx, lease.ID); err != nil { // ends the lease before its time
		fmt.Println(err)
		return
	}
	_, found, err := c.Get(ctx, []byte("services/web/1"))
	fmt.Println(found, err)
	// Output:
	// registered
	// false <nil>
}

// The past of a key: at a revision, at a time, and all of its versions that the history keeps.
func ExampleClient_RevisionAt() {
	c, ctx := exampleClient()
	defer c.Close()
	key := []byte("motd")
	first, err := c.Put(ctx, key, []byte("welcome"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := c.Put(ctx, key, []byte("closed")); err != nil {
		fmt.Println(err)
		return
	}

	past, err := c.Range(ctx, kv.Range{Key: key, Revision: first.Revision})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("at the revision: %s\n", past.KVs[0].Value)

	times, err := c.TimesOf(ctx, []int64{first.Revision})
	if err != nil {
		fmt.Println(err)
		return
	}
	revision, err := c.RevisionAt(ctx, times[0], client.ReadOptions{})
	var answer *kv.Error
	switch {
	case errors.As(err, &answer) && answer.Code == kv.Compacted:
		fmt.Println("the history does not reach back that far")
		return
	case err != nil:
		fmt.Println(err)
		return
	}
	fmt.Println("a revision of that time:", revision >= first.Revision)

	for version, err := range c.Versions(ctx, key) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("version %d: %s\n", version.KV.Version, version.KV.Value)
	}
	// Output:
	// at the revision: welcome
	// a revision of that time: true
	// version 1: welcome
	// version 2: closed
}

// A lock of the whole cluster. Its token rises from holder to holder: a resource outside of qkv refuses a token below the largest that
// it has seen. Data in qkv is protected by the lock's Guard.
func ExampleMutex() {
	c, ctx := exampleClient()
	defer c.Close()
	session, err := client.NewLockSession(ctx, c, client.LockSessionOptions{TTL: 10 * time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer session.Close(ctx)
	m := client.NewMutex(session, "jobs/nightly")
	if err := m.Lock(ctx); err != nil {
		fmt.Println(err)
		return
	}
	report := kv.Txn{
		Compares: []kv.Compare{m.Guard()},
		Success:  []kv.Op{{Put: &kv.Put{Key: []byte("report"), Value: []byte("done")}}},
	}
	held, err := c.Txn(ctx, report)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("written with the lock:", held.Succeeded, m.Token() > 0)

	if err := m.Unlock(ctx); err != nil {
		fmt.Println(err)
		return
	}
	late, err := c.Txn(ctx, report)
	fmt.Println("written without it:", late.Succeeded, err)
	// Output:
	// written with the lock: true true
	// written without it: false <nil>
}

// Two candidates of an election: the second one leads when the first one resigns. Every program may ask for the leader.
func ExampleElection() {
	c, ctx := exampleClient()
	defer c.Close()
	candidate := func(value string) (*client.Election, error) {
		session, err := client.NewLockSession(ctx, c, client.LockSessionOptions{TTL: 10 * time.Second}) // its end, or its process's death, ends the leadership
		if err != nil {
			return nil, err
		}
		e := client.NewElection(session, "scheduler")
		return e, e.Campaign(ctx, []byte(value))
	}
	first, err := candidate("host-1")
	if err != nil {
		fmt.Println(err)
		return
	}
	second := make(chan error)
	go func() {
		_, err := candidate("host-2") // waits
		second <- err
	}()
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	for leader, err := range client.Observe(watching, c, "scheduler") {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s leads\n", leader.Value)
		if string(leader.Value) == "host-2" {
			break
		}
		if err := first.Resign(ctx); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(<-second)
	// Output:
	// host-1 leads
	// host-2 leads
	// <nil>
}

// The order in which a program asks an error: what it says about the write first, and the code of a member's answer last.
func Example_errors() {
	c, ctx := exampleClient()
	defer c.Close()
	happened := func(err error) string {
		answer, is := errors.AsType[*kv.Error](err)
		switch {
		case err == nil:
			return "it has happened"
		case errors.Is(err, client.ErrOutcomeUnknown): // this and the next may contain a member's answer: they come before the codes
			return "it may have happened"
		case errors.Is(err, client.ErrUnavailable):
			return "it has not happened, and may be repeated"
		case is && answer.Happened():
			return "it has happened, without its answer"
		case is:
			return "it has not happened: " + answer.Code.String()
		default: // the context's cause, ErrClosed, ErrOverloaded
			return "it has not happened: " + err.Error()
		}
	}
	_, err := c.Put(ctx, []byte("errors/one"), []byte("1"))
	fmt.Println(happened(err))
	_, err = c.PutWith(ctx, kv.Put{Key: []byte("errors/leased"), Lease: 77})
	fmt.Println(happened(err))
	over, cancel := context.WithCancel(ctx)
	cancel()
	_, err = c.Put(over, []byte("errors/two"), []byte("2"))
	fmt.Println(happened(err))
	// Output:
	// it has happened
	// it has not happened: no such lease
	// it has not happened: context canceled
}

// All changes of some keys from a revision on, up to now: the state as it is shown beside them, and then its history.
func ExampleClient_Changes() {
	c, ctx := exampleClient()
	defer c.Close()
	jobs := []byte("changes/")
	first, err := c.Put(ctx, []byte("changes/a"), []byte("queued"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := c.Put(ctx, []byte("changes/a"), []byte("done")); err != nil {
		fmt.Println(err)
		return
	}
	removed, err := c.DeleteWith(ctx, kv.Delete{Key: jobs, End: client.Prefix(jobs), PrevKV: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, pair := range removed.Previous {
		fmt.Printf("removed %s, which was %s\n", pair.Key, pair.Value)
	}
	for response, err := range c.Changes(ctx, kv.Watch{Key: jobs, End: client.Prefix(jobs), Revision: first.Revision}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, e := range response.Events {
			fmt.Printf("%d: %q, deleted: %v\n", e.KV.ModRevision-first.Revision, e.KV.Value, e.Deleted)
		}
	}
	// Output:
	// removed changes/a, which was done
	// 0: "queued", deleted: false
	// 1: "done", deleted: false
	// 2: "", deleted: true
}

// Two programs want to do the same job, and the second one leaves it to the first. The end of the lock session, which the first one waits
// for beside its work, says that the lock may be lost.
func ExampleMutex_TryLock() {
	c, ctx := exampleClient()
	defer c.Close()
	for _, name := range []string{"first", "second"} {
		session, err := client.NewLockSession(ctx, c, client.LockSessionOptions{TTL: 10 * time.Second})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer session.Close(ctx)
		switch err := client.NewMutex(session, "jobs/report").TryLock(ctx); {
		case errors.Is(err, client.ErrLocked):
			fmt.Println(name, "leaves the job to another program")
		case err != nil:
			fmt.Println(err)
			return
		default:
			select {
			case <-session.Done():
				fmt.Println("the lock may be lost:", session.Err())
			default:
				fmt.Println(name, "does the job")
			}
		}
	}
	// Output:
	// first does the job
	// second leaves the job to another program
}
