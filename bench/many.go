package bench

import (
	"context"
	"fmt"
	"time"
)

// Restarter is a cluster that can be killed as a whole and restarted.
type Restarter interface {
	// Restart returns the time from the kill to the first answer.
	Restart(ctx context.Context) (time.Duration, error)
}

// Housed is a cluster whose members' data folders are on this host.
type Housed interface {
	// Folders lists the members' data folders.
	Folders() []string
}

// many writes a million keys and measures their cost: memory and disk before and after six overwrites of each, one range of all, a
// restart, and one delete.
func (j *job) many() error {
	keys := j.scaled(fullKeys)
	begun := time.Now()
	if err := j.fill("many", keys); err != nil {
		return err
	}
	j.set("new_keys_rate", float64(keys)/time.Since(begun).Seconds())
	j.memory("memory_bytes")
	j.disk("disk_bytes")
	for range overwrites {
		if err := j.fill("many", keys); err != nil {
			return err
		}
	}
	j.memory("memory_overwritten_bytes")
	j.disk("disk_overwritten_bytes")
	from, to := j.ends("many")
	begun = time.Now()
	page, err := j.api(0).Read(j.ctx, from, to)
	if err == nil && page.Keys != keys {
		err = fmt.Errorf("one range has %d of %d keys", page.Keys, keys)
	}
	if err != nil {
		return err
	}
	j.set("one_range_seconds", time.Since(begun).Seconds())
	if r, can := j.cluster.(Restarter); can {
		took, err := r.Restart(j.ctx)
		if err != nil {
			return err
		}
		j.set("restart_seconds", took.Seconds())
		for { // clients reconnect by themselves
			if _, err = j.api(0).Read(j.ctx, from, nil); err == nil {
				break
			}
			if Pause(j.ctx, 50*time.Millisecond) != nil {
				return err
			}
		}
		j.memory("memory_restarted_bytes")
	}
	begun = time.Now()
	deleted, err := j.api(0).Delete(j.ctx, from, to)
	if err == nil && deleted != int64(keys) {
		err = fmt.Errorf("one delete took %d of %d keys", deleted, keys)
	}
	j.set("one_delete_seconds", time.Since(begun).Seconds())
	return err
}

// memory records the largest resident memory of a member.
func (j *job) memory(name string) {
	m, can := j.cluster.(Metered)
	if !can {
		return
	}
	most := 0.0
	for _, url := range m.Metrics() {
		if c, err := readCounts(j.ctx, url); err == nil {
			most = max(most, c.resident)
		}
	}
	if most > 0 {
		j.set(name, most)
	}
}

// disk records the largest disk usage of a member.
func (j *job) disk(name string) {
	h, can := j.cluster.(Housed)
	if !can {
		return
	}
	most := int64(0)
	for _, folder := range h.Folders() {
		most = max(most, DiskUse(folder))
	}
	if most > 0 {
		j.set(name, float64(most))
	}
}
