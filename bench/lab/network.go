package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"qkv/cli/local"
)

// place is where a member of a benchmark runs.
type place struct {
	listen, listenPeer string
	network            string // the namespace of its host's network; empty: this process's own
}

// command is a command that runs there.
func (p place) command(program string, args ...string) *exec.Cmd {
	if p.network == "" {
		return exec.Command(program, args...)
	}
	return exec.Command("ip", append([]string{"netns", "exec", p.network, program}, args...)...)
}

// network is a bridge in a network namespace. The clients are at the bridge, and each member has a host with a network
// of its own.
type network struct{ hosts int }

const (
	benchBridge   = "qkv0"
	benchClient   = "10.77.255.254" // the clients' address
	benchNowhere  = "02:00:00:00:00:01"
	benchApart    = "LAB_IN_NETWORKS" // set in the process that runs in the namespaces
	benchPort     = 2379
	benchPeerPort = 2380
)

// noNetworks says why members cannot have networks of their own here; empty: they can.
func noNetworks() string {
	if os.Getuid() != 0 {
		return "needs root, to give each member a network of its own"
	}
	cmd := exec.Command("ip", "link", "add", benchBridge, "type", "bridge")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Sprintf("needs `ip` and the right to make networks: %v %s", err, strings.TrimSpace(string(out)))
	}
	return ""
}

// runApart runs this command again in namespaces of its own, which end with it: nothing of its networks is seen
// outside.
func runApart(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, os.Args[1:]...)
	cmd.Env = append(os.Environ(), benchApart+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if err := local.StartChild(cmd, true); err != nil {
		return err
	}
	forget := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer forget()
	err = cmd.Wait()
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(ended.ExitCode()) // it has said why
	}
	return err
}

// newNetwork makes the bridge, in a process that runs apart.
func newNetwork() (*network, error) {
	err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = syscall.Mount("tmpfs", "/run", "tmpfs", 0, "") // ip keeps the names of networks there
	}
	if err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	return &network{}, ip("", "link set lo up", "link add "+benchBridge+" type bridge",
		"addr add "+benchClient+"/16 dev "+benchBridge, "link set "+benchBridge+" up")
}

// ip runs commands of ip in a network; empty: this process's own.
func ip(network string, commands ...string) error {
	args := []string{"-batch", "-"}
	if network != "" {
		args = append([]string{"-n", network}, args...)
	}
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(commands, "; "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// places returns where the members of a cluster run: each on a host of its own, or on ports in a row if there is no
// network.
func (n *network) places(members, port int) (all []place, err error) {
	for i := range members {
		if n == nil {
			all = append(all, place{listen: loopback(port + 2*i), listenPeer: loopback(port + 2*i + 1)})
			continue
		}
		n.hosts++
		p := place{network: fmt.Sprintf("h%d", n.hosts)}
		address := fmt.Sprintf("10.77.0.%d", n.hosts)
		p.listen, p.listenPeer = fmt.Sprintf("%s:%d", address, benchPort), fmt.Sprintf("%s:%d", address, benchPeerPort)
		err = errors.Join(err,
			ip("", "netns add "+p.network,
				fmt.Sprintf("link add v%d type veth peer name eth0 netns %s", n.hosts, p.network),
				fmt.Sprintf("link set v%d master %s up", n.hosts, benchBridge)),
			ip(p.network, "link set lo up", "addr add "+address+"/16 dev eth0", "link set eth0 up"))
		all = append(all, p)
	}
	return all, err
}

// cut drops the packets between a host and all others of its cluster and the clients: their senders have a wrong
// hardware address of the receiver, as a switch does that lost its way. No program gets an error. Neither direction
// heals it.
func (n *network) cut(places []place, at int, outgoing, incoming bool) error {
	one := places[at]
	others := slices.DeleteFunc(slices.Clone(places), func(p place) bool { return p == one })
	entry := func(lost bool, of, device string) string {
		if lost {
			return fmt.Sprintf("neigh replace %s lladdr %s dev %s nud permanent", of, benchNowhere, device)
		}
		return fmt.Sprintf("neigh flush %s dev %s nud permanent", of, device)
	}
	out := []string{entry(outgoing, benchClient, "eth0")}
	networks, devices := []string{""}, []string{benchBridge}
	for _, p := range others {
		out = append(out, entry(outgoing, p.host(), "eth0"))
		networks, devices = append(networks, p.network), append(devices, "eth0")
	}
	errs := make([]error, len(networks)+1)
	var all sync.WaitGroup
	all.Go(func() { errs[len(networks)] = ip(one.network, out...) })
	for i, network := range networks { // at once
		all.Go(func() { errs[i] = ip(network, entry(incoming, one.host(), devices[i])) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (p place) host() string {
	host, _, _ := strings.Cut(p.listen, ":")
	return host
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
