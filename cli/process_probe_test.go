package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/cli/form"
	"qkv/net/client"
)

// probe is a process of its own that puts, one put after the other, and says how long they took: what it measures is the members,
// and not how busy the test is.
type probe struct {
	t     testing.TB
	input io.WriteCloser
	lines *bufio.Scanner
}

// startProbe starts one, which ends with the test.
func startProbe(c *clusterProcess) *probe {
	c.t.Helper()
	cmd := exec.Command("qkv-probe", c.home, strings.Join(c.endpoints(), ","))
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	must(c.t, err)
	output, err := cmd.StdoutPipe()
	must(c.t, err)
	must(c.t, spawn(cmd))
	c.t.Cleanup(func() {
		_ = input.Close()
		_ = cmd.Wait()
	})
	p := &probe{t: c.t, input: input, lines: bufio.NewScanner(output)}
	p.line("ready")
	return p
}

func (p *probe) line(format string, values ...any) {
	p.t.Helper()
	if !p.lines.Scan() {
		p.t.Fatalf("the probe has ended: %v", p.lines.Err())
	}
	if _, err := fmt.Sscanf(p.lines.Text(), format, values...); err != nil {
		p.t.Fatalf("the probe says %q: %v", p.lines.Text(), err)
	}
}

// begin has it put for a while; end tells how long puts took.
func (p *probe) begin(lasts time.Duration) {
	p.t.Helper()
	_, err := fmt.Fprintln(p.input, int64(lasts))
	must(p.t, err)
}

func (p *probe) end() (p50, p99 time.Duration) {
	p.t.Helper()
	p.line("%d %d", &p50, &p99)
	return p50, p99
}

func (p *probe) measure(lasts time.Duration) (p50, p99 time.Duration) {
	p.t.Helper()
	p.begin(lasts)
	return p.end()
}

// runProbe is the probe's process.
func runProbe() {
	if err := probeAll(os.Args[1], strings.Split(os.Args[2], ",")); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func probeAll(home string, endpoints []string) error {
	credentials, err := form.CertMaker().LocalClient(home)
	if err != nil {
		return err
	}
	s, err := client.Open(context.Background(), client.Config{Endpoints: endpoints, InOrder: true, Credentials: credentials, Timeout: processWait})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var lasts time.Duration
		if _, err := fmt.Sscan(lines.Text(), (*int64)(&lasts)); err != nil {
			return err
		}
		var took []time.Duration
		for until := time.Now().Add(lasts); time.Now().Before(until); time.Sleep(time.Millisecond) {
			begun := time.Now()
			if _, err := s.Put(context.Background(), []byte("other"), make([]byte, 64)); err != nil {
				return err
			}
			took = append(took, time.Since(begun))
		}
		slices.Sort(took)
		fmt.Println(int64(took[len(took)/2]), int64(took[len(took)*99/100]))
	}
	return nil
}
