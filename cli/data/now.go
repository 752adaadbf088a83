//go:build linux

package data

// This file is `qkv backup now`: wait until the leader's backup has every write of before.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

// answerPause is the pause before a new leader is asked, which may not know yet that it leads.
const answerPause = 100 * time.Millisecond

func backupNow(ctx context.Context, c *cli.Context) error {
	t, err := form.TargetOf(c)
	if err != nil {
		return err
	}
	got, err := backUpNow(ctx, t)
	if err != nil {
		return err
	}
	return form.WriteOne(c, fmt.Sprintf("%s has everything up to revision %d, of %s\n", got.Place, got.Revision, zoned(got.Wall)),
		form.Document{{"place", got.Place}, {"entry", got.Entry}, {"revision", got.Revision}, {"time", inUTC(got.Wall)}})
}

// backUpNow asks the leader until its backup has all acknowledged writes, or fails. A new leader is asked in the place of the old one.
func backUpNow(ctx context.Context, t form.Target) (got kv.BackedUp, err error) {
	for {
		leader, err := openLeader(ctx, t)
		if err != nil {
			return got, err
		}
		if got.Entry == 0 {
			// a linearizable read: afterwards the member has all acknowledged writes
			_, err = leader.Admin().AuthStatus(ctx)
		}
		for err == nil && !got.Done {
			if got, err = leader.Admin().BackUpNow(ctx, got.Entry); err == nil && got.Problem != "" {
				return got, form.Exitf(form.ExitFailed, "the backup in %s fails: %s", got.Place, got.Problem)
			}
		}
		err = errors.Join(err, leader.Close())
		if refusal, is := errors.AsType[*kv.Error](err); err == nil || !is || refusal.Code != kv.Unavailable || ctx.Err() != nil {
			return got, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(answerPause):
		}
	}
}

// openLeader connects to the leader, and to no other member.
func openLeader(ctx context.Context, t form.Target) (*client.Client, error) {
	s, err := t.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	status, err := s.Admin().Status(ctx, "")
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(status.Members, func(m kv.Member) bool { return m.ID == status.Leader && len(m.Clients) > 0 })
	if i < 0 {
		return nil, form.Exitf(form.ExitUnavailable, "%s knows no leader: try again, and see docs/emergencies.md", status.Name)
	}
	t.Endpoints, t.Given, t.FailFast = status.Members[i].Clients, true, true
	return t.Open(ctx)
}
