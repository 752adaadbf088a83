//go:build linux

package cli

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/urfave/cli/v2"

	"qkv/bench/emulate"
	"qkv/log/disk"
	"qkv/node"
)

// benchMemberCommand starts a member on an emulated disk, for a benchmark; otherwise it is `serve`. It is hidden, because only
// benchmarks use it, and no other command starts such a member. node.StartEmulated describes what it refuses.
func benchMemberCommand() *cli.Command {
	return &cli.Command{
		Name: "member", Hidden: true, Usage: "run one member on an emulated disk, for `qkv bench run --profile`",
		Flags:  append(memberFlags(), &cli.StringFlag{Name: "profile", Usage: "`NAME` of the disk"}),
		Action: benchMember,
	}
}

func benchMember(c *cli.Context) error {
	profile, err := emulate.Find(c.String("profile"))
	if err != nil {
		return usagef("--profile: %w", err)
	}
	config, err := nodeConfig(c, newLogger(c.App.ErrWriter, c.String("log-format"), levelOf(c), c.String("name")))
	if err != nil {
		return err
	}
	config.Logger.Warn("the disk is EMULATED: nothing that this member acknowledges is durable", "profile", profile.Name, "source", profile.Source)
	return runMember(c.Context, config, func(ctx context.Context, c node.Config) (*node.Node, error) {
		return node.StartEmulated(ctx, c, emulate.On(disk.OS(), profile, rand.Uint64()))
	}, nil)
}

// profilesOf reads --profile NAME.
func profilesOf(c *cli.Context) (all []emulate.Profile, err error) {
	for _, name := range c.StringSlice("profile") {
		p, err := emulate.Find(name)
		if err != nil {
			return nil, usagef("--profile: %w", err)
		}
		if slices.ContainsFunc(all, func(q emulate.Profile) bool { return q.Name == p.Name }) {
			return nil, usagef("--profile %q is there twice", name)
		}
		all = append(all, p)
	}
	return all, nil
}

// emulatedDir returns the folder for the files of members on emulated disks.
func emulatedDir(dirs []sideDir) string {
	if len(dirs) > 0 {
		return dirs[0].dir
	}
	return "."
}
