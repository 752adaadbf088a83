package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// cluster is three members and the two programs that they run by turns.
type cluster struct {
	dir, oldProgram, newProgram string
	all                         []*member
}

// stages runs the cluster's way from the old program to the new one.
func stages(ctx context.Context, dir, oldProgram, newProgram string) (err error) {
	all, err := newMembers(dir)
	if err != nil {
		return err
	}
	c := cluster{dir, oldProgram, newProgram, all}
	defer func() {
		for _, m := range all {
			m.kill()
			if err != nil {
				err = fmt.Errorf("%w\nthe last lines of %s:\n%s", err, m.name, m.tail())
			}
		}
	}()
	oldLevel, err := c.startOld(ctx)
	if err != nil {
		return err
	}
	l, err := startLoad(ctx, all)
	if err != nil {
		return fmt.Errorf("a new client on old members: %w", err)
	}
	defer l.cancel()
	if err := c.mixed(ctx); err != nil {
		return err
	}
	if err := c.wayBack(ctx); err != nil {
		return err
	}
	if err := c.upgraded(ctx, oldLevel); err != nil {
		return err
	}
	said, err := l.judge(ctx)
	if err != nil {
		return fmt.Errorf("%w (%s)", err, said)
	}
	if err := settled(ctx, newProgram, all, true); err != nil {
		return err
	}
	fmt.Printf("upgrade: rolling upgrade ok: %s; nothing lost, all members have the same state\n", said)
	for _, m := range all {
		if err := m.stop(); err != nil {
			return err
		}
	}
	return nil
}

// startOld starts all members with the old program, and returns their feature level, which a new client asks for.
func (c *cluster) startOld(ctx context.Context) (level uint64, err error) {
	for _, m := range c.all {
		if err := m.start(c.oldProgram); err != nil {
			return 0, err
		}
	}
	if err := settled(ctx, c.oldProgram, c.all, false); err != nil {
		return 0, fmt.Errorf("the old cluster, by its own client: %w", err)
	}
	if level, err = announced(ctx, c.newProgram, c.all); err != nil {
		return 0, fmt.Errorf("a new client on old members: %w", err)
	}
	return level, nil
}

// mixed upgrades two of the three members. The clients of both programs ask members of both. A member of each program joins and gets a
// snapshot of the other one.
func (c *cluster) mixed(ctx context.Context) error {
	if err := c.ask(ctx, c.all[0], "the old member"); err != nil {
		return err
	}
	fmt.Println("upgrade: a new client on old members ok")
	first := c.all[0]
	if err := first.rejoin(ctx, c.newProgram, c.newProgram, c.all); err != nil {
		return fmt.Errorf("%s, a new member that gets a snapshot of an old one: %w", first.name, err)
	}
	if err := c.exchange(ctx, c.all[1], c.newProgram); err != nil {
		return err
	}
	for _, m := range c.all[:2] {
		if err := c.ask(ctx, m, "the new member"); err != nil {
			return err
		}
	}
	// What a new leader proposes, the old member applies.
	if _, err := run(ctx, c.newProgram, "move-leader", first.name, "--home", first.home, "--endpoints", first.listen); err != nil {
		return err
	}
	if err := settled(ctx, c.newProgram, c.all, false); err != nil {
		return fmt.Errorf("a new leader of an old member: %w", err)
	}
	if err := c.all[2].rejoin(ctx, c.oldProgram, c.oldProgram, c.all); err != nil {
		return fmt.Errorf("%s, an old member that gets a snapshot of a new one: %w", c.all[2].name, err)
	}
	fmt.Println("upgrade: members of both versions that join and get a snapshot of the other one ok")
	if err := c.ask(ctx, c.all[2], "the old member in a cluster of both"); err != nil {
		return err
	}
	fmt.Println("upgrade: an old client on new members ok; two of three members are new")
	return nil
}

// wayBack takes the two new members back to the old program.
func (c *cluster) wayBack(ctx context.Context) error {
	for _, m := range c.all[:2] {
		if err := c.exchange(ctx, m, c.oldProgram); err != nil {
			return fmt.Errorf("the way back before the feature level is raised: %w", err)
		}
	}
	fmt.Println("upgrade: the way back, with one old member left, ok")
	return nil
}

// upgraded upgrades all members. If that raises the feature level, the old program must refuse to start; else the way back is open.
func (c *cluster) upgraded(ctx context.Context, oldLevel uint64) error {
	for _, m := range c.all {
		if err := c.exchange(ctx, m, c.newProgram); err != nil {
			return err
		}
	}
	newLevel, err := announced(ctx, c.newProgram, c.all)
	if err != nil {
		return err
	}
	if err := c.ask(ctx, c.all[2], "the new member"); err != nil {
		return err
	}
	if newLevel != oldLevel {
		return c.refused(ctx, c.all[0], newLevel)
	}
	if err := errors.Join(c.exchange(ctx, c.all[0], c.oldProgram), c.exchange(ctx, c.all[0], c.newProgram)); err != nil {
		return fmt.Errorf("the way back at the same feature level, %d: %w", newLevel, err)
	}
	fmt.Printf("upgrade: all members are new; the feature level stays %d, and the way back is open, ok\n", newLevel)
	return nil
}

// exchange starts a member with another program; the new program's client asks all.
func (c *cluster) exchange(ctx context.Context, m *member, program string) error {
	if err := m.stop(); err != nil {
		return err
	}
	if err := m.start(program); err != nil {
		return err
	}
	if err := settled(ctx, c.newProgram, c.all, false); err != nil {
		return fmt.Errorf("%s, started with %s: %w", m.name, program, err)
	}
	return nil
}

// ask runs the clients of both programs on a member.
func (c *cluster) ask(ctx context.Context, m *member, what string) error {
	for name, program := range map[string]string{"the old client": c.oldProgram, "the new client": c.newProgram} {
		if err := clients(ctx, c.dir, program, m); err != nil {
			return fmt.Errorf("%s on %s of %s: %w", name, what, m.name, err)
		}
	}
	return nil
}

// refused holds that the old program does not start once the feature level is raised, and says why.
func (c *cluster) refused(ctx context.Context, m *member, level uint64) error {
	time.Sleep(2 * time.Second) // the leader raises the level when it has applied that every member has announced it
	if err := m.stop(); err != nil {
		return err
	}
	if err := m.start(c.oldProgram); err != nil {
		return err
	}
	code, err := m.wait()
	if err != nil {
		return fmt.Errorf("an old program at feature level %d: %w", level, err)
	}
	if tail := m.tail(); code == 0 || !strings.Contains(tail, "newer qkv") || !strings.Contains(tail, fmt.Sprintf("feature level %d", level)) {
		return fmt.Errorf("an old program ended with %d at feature level %d, and did not say so:\n%s", code, level, tail)
	}
	if err := m.start(c.newProgram); err != nil {
		return err
	}
	fmt.Printf("upgrade: all members are new; at feature level %d the old program refuses to start, and says so, ok\n", level)
	return settled(ctx, c.newProgram, c.all, false)
}
