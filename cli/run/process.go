//go:build linux

package run

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"qkv/cli/local"
)

// process is one member of a localCluster: this program with `serve`.
type process struct {
	local.Process
	listen, listenPeer     string
	dataDir, home, cluster string
	executable             string
	log                    string // the file for its log, if output is not set
	output                 io.Writer
}

// openLog opens the file for the log. It grows over the runs of a demo, so that a later run does not lose why an earlier one failed.
func (p *process) openLog() (err error) {
	if p.output != nil {
		return nil
	}
	if err = os.MkdirAll(filepath.Dir(p.log), 0o700); err == nil {
		p.output, err = os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	}
	return err
}

// line returns the command that starts the member.
func (p *process) line() *exec.Cmd {
	cmd := exec.Command(p.executable, append(p.arguments(), "--log-format", "text")...)
	cmd.Env = WithoutSettings(os.Environ())
	cmd.Stdout, cmd.Stderr = p.output, p.output
	return cmd
}

// arguments returns the member's command line.
func (p *process) arguments() []string {
	return []string{
		"serve", "--name", p.Name, "--data-dir", p.dataDir, "--listen", p.listen, "--listen-peer", p.listenPeer, "--home", p.home,
		"--initial-cluster", p.cluster,
	}
}

// WithoutSettings removes settings for other members from the environment.
func WithoutSettings(environment []string) (kept []string) {
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "QKV_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// portsFree is an error if a member could not listen at these addresses.
func portsFree(addresses ...string) error {
	for _, address := range addresses {
		err := UdpFree(address)
		if err == nil { // etcd's API is there
			var l net.Listener
			if l, err = net.Listen("tcp", address); err == nil {
				err = l.Close()
			}
		}
		if err != nil {
			return fmt.Errorf("%w: is another demo, member or benchmark running? `--port` chooses other ports", err)
		}
	}
	return nil
}

// UdpFree is an error if another process keeps listening at an address. It tries 20 times in 0.5 s: a freshly forked process may
// hold a socket of this one until it executes its own program.
func UdpFree(address string) error {
	const tries, pause = 20, 25 * time.Millisecond
	var err error
	for range tries {
		var c net.PacketConn
		if c, err = net.ListenPacket("udp", address); err == nil {
			return c.Close()
		}
		time.Sleep(pause)
	}
	return err
}
