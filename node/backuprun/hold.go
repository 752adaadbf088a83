package backuprun

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// Hold is a runner's right to publish bases and to delete. One runner of a backup has it, by the cluster's log; doc.go says what for.
// It is for one goroutine.
type Hold struct {
	ask     kv.BackupHold
	lost    bool      // a call was refused, since another runner holds the backup
	unsure  bool      // a take got no answer: it may have been applied late
	drained time.Time // when the calls of the runner before have ended, and those of this one that got no answer
	cut     bool      // a call of this runner may be under way still
}

// NewHold draws the numbers of a runner.
func NewHold() *Hold {
	b := make([]byte, 8+kv.BackupKeyBytes) // rand.Read never fails
	_, _ = rand.Read(b)
	return &Hold{ask: kv.BackupHold{Holder: binary.LittleEndian.Uint64(b) | 1, Key: b[8:]}}
}

// has asks whether the runner holds the backup. Without a holder it does from now on.
func (h *Hold) has(ctx context.Context, m Source) (bool, error) {
	now, err := m.BackupHold(ctx, h.ask)
	if err != nil {
		return false, err
	}
	h.ask.Key = now.Key
	return now.Holder == h.ask.Holder, nil
}

// Take makes this runner the holder, if another one is.
func (h *Hold) Take(ctx context.Context, m Source) error {
	held, err := h.has(ctx, m)
	if err != nil || held && !h.unsure {
		return err
	}
	take := *h
	take.ask.Take = true
	h.unsure = true
	held, err = take.has(ctx, m)
	h.unsure = err != nil
	h.drain()
	if err == nil && !held {
		err = store.ErrNotHeld
	}
	return err
}

const (
	// backupCall bounds a call that publishes or deletes, from the moment when its runner was known to hold the backups. backupDrain is how
	// long the next holder waits before it lists the objects: then no such call is under way, also in a store's server.
	backupCall  = 10 * time.Second
	backupDrain = 3 * backupCall
	// backupDeletes is how many objects one such call deletes.
	backupDeletes = 100
)

// drain has the next list wait for calls that may be under way.
func (h *Hold) drain() { h.drained = time.Now().Add(backupDrain) }

// Leave gives the hold back when the runner ends.
func (h *Hold) Leave(ctx context.Context, m Source) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.BackupStop)
	defer cancel()
	if !h.cut {
		leave := h.ask
		leave.Leave = true
		_, _ = m.BackupHold(ctx, leave) // otherwise the next runner waits
	}
}

// Write opens the backup, as backup.Write does. The Writer publishes and deletes while this runner is the holder.
func (h *Hold) Write(ctx context.Context, m Source, s store.Store, anew bool, to ...age.Recipient) (*backup.Writer, error) {
	of := m.Cluster()
	of.Place = h.ask.Holder
	w, err := backup.Write(ctx, heldStore{Store: s, hold: h, member: m}, anew, of, to...)
	if err != nil {
		return nil, err
	}
	h.ask.Place = w.Place()
	if h.lost {
		err = h.Take(ctx, m)
	} else { // for the key, and the hold if it is free
		_, err = h.has(ctx, m)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", m.Name(), err), w.Close())
	}
	h.lost = false
	w.NameBy(h.ask.Key)
	return w, nil
}

// heldStore is a store in which a runner publishes and deletes while it holds the backup.
type heldStore struct {
	store.Store
	hold   *Hold
	member Source
}

// call makes a call of the store, if this runner holds the backup. It ends within backupCall of the moment when that was known.
func (s heldStore) call(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, backupCall)
	defer cancel()
	held, err := s.hold.has(ctx, s.member)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", s.member.Name(), err)
	case !held:
		return store.ErrNotHeld
	}
	if err = do(ctx); err != nil {
		s.hold.cut = true
		s.hold.drain()
	}
	return err
}

// Put implements store.Store.
func (s heldStore) Put(ctx context.Context, name string, content []byte) error {
	if !strings.HasPrefix(name, backup.Moments) {
		return s.Store.Put(ctx, name, content)
	}
	return s.call(ctx, func(ctx context.Context) error { return s.Store.Put(ctx, name, content) })
}

// Delete implements store.Store.
func (s heldStore) Delete(ctx context.Context, names ...string) error {
	for some := range slices.Chunk(names, backupDeletes) {
		if err := s.call(ctx, func(ctx context.Context) error { return s.Store.Delete(ctx, some...) }); err != nil {
			return err
		}
	}
	return nil
}
