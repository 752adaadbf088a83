package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// etcdVersion is the version of etcd in comparisons.
const etcdVersion = "v3.7.3"

// etcdBuilt stands for a binary of etcd that is built from its module, for commands that measure etcd only on request.
const etcdBuilt = "build"

// etcdProgram returns the etcd to measure, which it builds if none is named, and its version.
func etcdProgram(ctx context.Context, given string) (binary, version string, err error) {
	if binary = given; binary == "" || binary == etcdBuilt {
		fmt.Fprintln(os.Stderr, "building etcd", etcdVersion, "from its module, unless that was done before")
		if binary, err = buildEtcd(ctx); err != nil {
			return "", "", err
		}
	}
	all, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return "", "", fmt.Errorf("%s --version: %w", binary, err)
	}
	version, _, _ = strings.Cut(string(all), "\n")
	return binary, version, nil
}

// buildEtcd builds etcd from its module into the user's cache, and returns the path of the binary. It needs Go, and for
// the first build the module proxy.
func buildEtcd(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "qkv", "etcd-"+etcdVersion)
	binary := filepath.Join(dir, "etcd")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if _, err := exec.LookPath("go"); err != nil {
		return "", fmt.Errorf("etcd is built with Go, which is not installed: name a binary with --etcd: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	const module = "module etcd\n\ngo 1.26\n\nrequire go.etcd.io/etcd/server/v3 " + etcdVersion + "\n"
	const program = "package etcd\n\nimport _ \"go.etcd.io/etcd/server/v3/etcdmain\"\n"
	for name, text := range map[string]string{"go.mod": module, "etcd.go": program} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	for _, args := range [][]string{{"mod", "tidy"}, {"build", "-o", binary + ".tmp", "go.etcd.io/etcd/server/v3"}} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return binary, os.Rename(binary+".tmp", binary)
}

// ask calls a member of a cluster of etcd's API.
func ask(ctx context.Context, address string, do func(context.Context, *grpc.ClientConn) error) error {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	c, err := dial([]string{address})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return do(ctx, c)
}

// position is a member's view of its cluster: the ids of itself and of the leader, and its applied index.
type position struct{ self, leader, applied uint64 }

func positionOf(ctx context.Context, address string) (p position, err error) {
	err = ask(ctx, address, func(ctx context.Context, c *grpc.ClientConn) error {
		s, err := etcdserverpb.NewMaintenanceClient(c).Status(ctx, &etcdserverpb.StatusRequest{})
		p = position{s.GetHeader().GetMemberId(), s.GetLeader(), s.GetRaftAppliedIndex()}
		return err
	})
	return p, err
}

// moveLeader hands the leadership of a member over to another one.
func moveLeader(ctx context.Context, address string, to uint64) error {
	return ask(ctx, address, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := etcdserverpb.NewMaintenanceClient(c).MoveLeader(ctx, &etcdserverpb.MoveLeaderRequest{TargetID: to})
		return err
	})
}

// readmit removes the member with a name from its cluster, and adds an unstarted one with the same peer addresses.
func readmit(ctx context.Context, address, name string) error {
	return ask(ctx, address, func(ctx context.Context, c *grpc.ClientConn) error {
		cluster := etcdserverpb.NewClusterClient(c)
		list, err := cluster.MemberList(ctx, &etcdserverpb.MemberListRequest{Linearizable: true})
		if err != nil {
			return err
		}
		for _, m := range list.Members {
			if m.Name != name {
				continue
			}
			if _, err := cluster.MemberRemove(ctx, &etcdserverpb.MemberRemoveRequest{ID: m.ID}); err != nil {
				return err
			}
			_, err := cluster.MemberAdd(ctx, &etcdserverpb.MemberAddRequest{PeerURLs: m.PeerURLs})
			return err
		}
		return fmt.Errorf("there is no member %s", name)
	})
}

// reads returns when a member answers a linearizable read.
func reads(ctx context.Context, address string) error {
	return ask(ctx, address, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := etcdserverpb.NewKVClient(c).Range(ctx, &etcdserverpb.RangeRequest{Key: []byte("x")})
		return err
	})
}
