package keys

// This file is `qkv elect`: lead an election until Ctrl-C, or show its leader.

import (
	"context"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/net/client"
)

func elect(c *cli.Context) error {
	name, listen := c.Args().First(), c.Bool("listen")
	switch {
	case name == "":
		return form.Usagef("the name of an election must not be empty")
	case listen && c.NArg() == 2:
		return form.Usagef("--listen only shows the leader: leave VALUE out")
	case !listen && c.NArg() == 1:
		return form.Usagef("a VALUE is missing: it tells the other candidates which one leads; --listen shows it")
	case listen:
		return listenTo(c, name)
	}
	value := []byte(c.Args().Get(1))
	return inSession(c, func(ctx context.Context, s *client.LockSession) error {
		e := client.NewElection(s, name)
		if err := e.Campaign(ctx, value); err != nil {
			return err
		}
		err := writeHolder(c, e.Key(), value, e.Token(), form.Hex(uint64(s.Lease().ID)))
		if err == nil {
			err = hold(ctx, s)
		}
		return afterwards(c, s, e.Resign, err)
	})
}

// listenTo prints the leader of an election, and each new one, until Ctrl-C.
func listenTo(c *cli.Context, name string) error {
	return form.UntilSignal(c, func(ctx context.Context, s *client.Client) error {
		for leader, err := range client.Observe(ctx, s, name) {
			if err != nil {
				return err
			}
			if err := writeHolder(c, leader.Key, append([]byte{}, leader.Value...), leader.CreateRevision, form.Hex(uint64(leader.Lease))); err != nil {
				return err
			}
		}
		return nil
	})
}
