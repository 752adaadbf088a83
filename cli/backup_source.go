//go:build linux

package cli

import (
	"cmp"
	"context"
	"errors"

	"filippo.io/age"
	"github.com/urfave/cli/v2"

	"qkv/log/disk"
	"qkv/net/client"
	"qkv/node/backuprun"
	"qkv/snapshot/backup"
)

// backupMember is a connection to one member, from which a backup is made.
type backupMember struct {
	*client.Client
	endpoint string
	cluster  backup.Cluster
	status   client.Status
}

// openMember connects to the member at an endpoint, and to no other one: each member has snapshots of its own.
func (t target) openMember(ctx context.Context, endpoint string) (*backupMember, error) {
	t.endpoints, t.given, t.failFast = []string{endpoint}, true, true
	s, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	status, err := s.Status(ctx, "")
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &backupMember{s, endpoint, backuprun.ClusterOf(status.Cluster, status.Members, status.Name, Version), status}, nil
}

// Name implements backuprun.Source.
func (m *backupMember) Name() string { return cmp.Or(m.status.Name, m.endpoint) }

// Cluster implements backuprun.Source.
func (m *backupMember) Cluster() backup.Cluster { return m.cluster }

// others returns the client addresses that the member knows.
func (m *backupMember) others() (all []string) {
	for _, one := range m.status.Members {
		all = append(all, one.Clients...)
	}
	return all
}

// recipientFlag is a flag for the keys that encrypt a backup.
func recipientFlag(variable string) cli.Flag {
	return &cli.StringSliceFlag{
		Name: "recipient", EnvVars: []string{variable},
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

// backupFolder opens the backup of a cluster in a folder.
func backupFolder(m *backupMember, dir string, to []age.Recipient) (*backup.Writer, error) {
	return backup.OpenFolder(disk.OS(), dir, m.cluster, to...)
}
