//go:build linux

package cli

import (
	"cmp"
	"context"
	"errors"
	"time"

	"filippo.io/age"
	"github.com/urfave/cli/v2"

	"qkv/index/kv"
	"qkv/net/client"
	"qkv/node/backuprun"
	"qkv/snapshot/backup"
)

// backupMember is a connection to one member, from which a backup is made.
type backupMember struct {
	*client.Client
	*client.Admin
	endpoint string
	cluster  backup.Cluster
	status   kv.Status
	checked  time.Time // when the newest read began that was to show that the member does not lag
	current  time.Time // when the newest of them began that succeeded
}

// backupCheck is the time between two reads that show whether the member of a backup lags.
const backupCheck = 4 * time.Second

// openMember connects to the member at an endpoint, and to no other one: each member has snapshots of its own.
func (t target) openMember(ctx context.Context, endpoint string) (*backupMember, error) {
	t.endpoints, t.given, t.failFast = []string{endpoint}, true, true
	s, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	status, err := s.Admin().Status(ctx, "")
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &backupMember{Client: s, Admin: s.Admin(), endpoint: endpoint, cluster: backuprun.ClusterOf(status.Cluster, status.Members, status.Name, Version), status: status}, nil
}

// Name implements backuprun.Source.
func (m *backupMember) Name() string { return cmp.Or(m.status.Name, m.endpoint) }

// Cluster implements backuprun.Source.
func (m *backupMember) Cluster() backup.Cluster { return m.cluster }

// BackupLog implements backuprun.Source.
func (m *backupMember) BackupLog(ctx context.Context, after uint64) (kv.LogPart, error) {
	m.check(ctx, time.Now(), func(ctx context.Context) error { _, err := m.AuthStatus(ctx); return err })
	return m.Admin.BackupLog(ctx, after)
}

// check notes that the member had every acknowledged change at a time. A linearizable read waits until the member has them. If it does not
// answer soon, the member lags, and so does the backup that has everything which the member has.
func (m *backupMember) check(ctx context.Context, now time.Time, read func(context.Context) error) {
	if now.Sub(m.checked) < backupCheck {
		return
	}
	m.checked = now
	ctx, cancel := context.WithTimeout(ctx, backupCheck/4)
	defer cancel()
	if read(ctx) == nil {
		m.current = now
	}
}

// others returns the client addresses that the member knows.
func (m *backupMember) others() (all []string) {
	for _, one := range m.status.Members {
		all = append(all, one.Clients...)
	}
	return all
}

// recipientFlag is a flag for the keys that encrypt a backup.
func recipientFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name: "recipient", EnvVars: []string{"QKV_BACKUP_RECIPIENT"},
		Usage: "encrypt for the age public `KEY`, as age-keygen prints it; several are allowed",
	}
}

func recipients(c *cli.Context, flag string) (all []age.Recipient, err error) {
	for _, text := range c.StringSlice(flag) {
		one, err := age.ParseX25519Recipient(text)
		if err != nil {
			return nil, usagef("--%s %s is not a public key of age: %w", flag, text, err)
		}
		all = append(all, one)
	}
	return all, nil
}
