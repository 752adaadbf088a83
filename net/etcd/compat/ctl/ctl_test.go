package ctl

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"qkv/net/etcd/compat/member"
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	member.Forget()
	os.Exit(code)
}

// timeout decides only when something is missing for good.
const timeout = 3 * time.Minute

// command is one step of a script.
type command struct {
	line  string
	lines int // it is ended after so many; 0: it ends by itself
	input string
}

// parse reads a script.
func parse(text string) (members int, commands []command, err error) {
	members = 1
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "", line[0] == '#':
		case strings.HasPrefix(line, "members "):
			if members, err = strconv.Atoi(line[8:]); err != nil {
				return 0, nil, err
			}
		case strings.HasPrefix(line, "> "):
			c := command{line: line[2:]}
			if n, rest, found := strings.Cut(c.line, ": "); found {
				if lines, err := strconv.Atoi(n); err == nil {
					c.lines, c.line = lines, rest
				}
			}
			commands = append(commands, c)
		case strings.HasPrefix(line, "|") && len(commands) > 0:
			commands[len(commands)-1].input += strings.TrimPrefix(line[1:], " ") + "\n"
		default:
			return 0, nil, fmt.Errorf("%q is no line of a script", line)
		}
	}
	return members, commands, nil
}

// words splits a command; what stands in double quotes is one word, with Go's escapes.
func words(line string) (all []string, err error) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			all, line = append(all, word), rest
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		all, line = append(all, word), line[len(quoted):]
	}
	return all, nil
}

// side is one program that a script runs with.
type side struct {
	cluster *member.Cluster
	etcdctl string
	dir     string
	names   map[string]string // $NAME
	ids     *strings.Replacer // ids and addresses, as both sides have them
	roles   *strings.Replacer // of who leads, which is another member on each side
	leases  []string
}

func newSide(t *testing.T, program string, count int) *side {
	t.Helper()
	s := &side{cluster: member.Start(t, program, count), etcdctl: member.Program(t, member.Etcdctl), dir: t.TempDir(), names: map[string]string{}}
	s.names["$DIR"] = s.dir
	c, err := clientv3.New(clientv3.Config{Endpoints: s.cluster.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var list *clientv3.MemberListResponse
	for named := false; !named; { // founders tell their names soon
		if list, err = c.MemberList(ctx); err != nil {
			t.Fatal(err)
		}
		named = true
		for _, m := range list.Members {
			named = named && m.Name != "" && len(m.ClientURLs) > 0
		}
	}
	var replace []string
	both := func(id uint64, name string) {
		replace = append(replace, fmt.Sprintf("%x", id), name, fmt.Sprint(id), name)
	}
	both(list.Header.ClusterId, "CLUSTER")
	for i, one := range s.cluster.Members {
		for _, m := range list.Members {
			if m.Name == one.Name {
				both(m.ID, fmt.Sprintf("M%d", i+1))
				s.names[fmt.Sprintf("$M%d", i+1)] = fmt.Sprintf("%x", m.ID)
			}
		}
		replace = append(replace, one.Client, fmt.Sprintf("E%d", i+1), one.Peer, fmt.Sprintf("P%d", i+1))
		s.names[fmt.Sprintf("$E%d", i+1)] = one.Client
	}
	s.ids = strings.NewReplacer(append(replace, s.dir, "DIR")...)
	return s
}

// whoLeads waits until all members say that the same one leads, and names it and a follower.
func (s *side) whoLeads() error {
	c, err := clientv3.New(clientv3.Config{Endpoints: s.cluster.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for ; ; time.Sleep(50 * time.Millisecond) {
		leads := map[uint64]int{}
		var replace []string
		for _, one := range s.cluster.Members {
			r, err := c.Status(ctx, one.Client)
			if ctx.Err() != nil {
				return fmt.Errorf("no leader that all know: %v, %w", leads, err)
			}
			if err != nil {
				break
			}
			role, id := "FOLLOWER", fmt.Sprintf("%x", r.Header.MemberId)
			if leads[r.Leader]++; r.Leader == r.Header.MemberId {
				role = "LEADER"
			} else {
				s.names["$NEXT"] = id
			}
			s.names["$"+role] = one.Client
			replace = append(replace, one.Client, role, id, role)
		}
		for id, n := range leads {
			if id != 0 && n == len(s.cluster.Members) {
				s.roles = strings.NewReplacer(replace...)
				return nil
			}
		}
	}
}

// roled are the names that whoLeads gives.
var roled = regexp.MustCompile(`\$(LEADER|FOLLOWER|NEXT)`)

// run runs a command and returns what it printed, and how it ended.
func (s *side) run(c command) (string, error) {
	all, err := words(c.line)
	if err != nil {
		return "", err
	}
	byRole := roled.MatchString(c.line)
	if byRole {
		if err := s.whoLeads(); err != nil {
			return "", err
		}
	}
	for i, word := range all {
		for name, is := range s.names {
			word = strings.ReplaceAll(word, name, is)
		}
		all[i] = word
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.etcdctl, all...)
	cmd.Dir = s.dir
	// By itself it gives up after two seconds of dialling and five of waiting.
	cmd.Env = append(os.Environ(), "ETCDCTL_DIAL_TIMEOUT=1m", "ETCDCTL_COMMAND_TIMEOUT=1m")
	if !strings.Contains(c.line, "--endpoints") { // it refuses to be told twice
		cmd.Env = append(cmd.Env, "ETCDCTL_ENDPOINTS="+strings.Join(s.cluster.Endpoints(), ","))
	}
	cmd.Stdin = strings.NewReader(c.input)
	var said bytes.Buffer
	if c.lines == 0 {
		cmd.Stdout, cmd.Stderr = &said, &said
		err = cmd.Run()
	} else {
		out, pipe := cmd.StdoutPipe()
		if pipe != nil {
			return "", pipe
		}
		if err := cmd.Start(); err != nil {
			return "", err
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < c.lines && lines.Scan(); n++ {
			fmt.Fprintln(&said, lines.Text())
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if ctx.Err() != nil {
		return said.String(), fmt.Errorf("it has not ended after %v", timeout)
	}
	if err != nil {
		fmt.Fprintf(&said, "(%v)\n", err)
	}
	text := said.String()
	if byRole {
		text = s.roles.Replace(text)
		err = s.whoLeads() // the next command finds a leader, whom this one may have changed
	} else {
		err = nil
	}
	return s.normal(text), err
}

// Of outputs, what is another one in each run.
var (
	granted  = regexp.MustCompile(`lease ([0-9a-f]{16}) granted`)
	variable = []struct {
		what *regexp.Regexp
		as   string
	}{
		{regexp.MustCompile(`took = [0-9.]+[a-zµ]+`), "took = TIME"},
		{regexp.MustCompile(`[0-9.]+(µs|ms|s)\b`), "TIME"},
		{regexp.MustCompile(`remaining\([0-9]+s?\)|remaining\(TIME\)`), "remaining(TIME)"},
		{regexp.MustCompile(`"ttl":[0-9]+`), `"ttl":TIME`},
		{regexp.MustCompile(`"raft_term":[0-9]+`), `"raft_term":TERM`},
		{regexp.MustCompile(`"RaftTerm" : [0-9]+`), `"RaftTerm" : TERM`},
		{regexp.MustCompile(`\{"level".*\n`), ""}, // the client's log
		{regexp.MustCompile(`[0-9]+(\.[0-9]+)? [kMG]?B\b`), "SIZE"},
		{regexp.MustCompile(` {2,}|─+`), " "}, // tables are as wide as ids are, which may begin with zeros
	}
)

func (s *side) normal(text string) string {
	for _, found := range granted.FindAllStringSubmatch(text, -1) {
		s.leases = append(s.leases, found[1])
		s.names[fmt.Sprintf("$L%d", len(s.leases))] = found[1]
	}
	for i, id := range s.leases {
		n, _ := strconv.ParseInt(id, 16, 64)
		text = strings.NewReplacer(id, fmt.Sprintf("L%d", i+1), fmt.Sprint(n), fmt.Sprintf("L%d", i+1)).Replace(text)
	}
	text = s.ids.Replace(text)
	for _, v := range variable {
		text = v.what.ReplaceAllString(text, v.as)
	}
	if s.sorted(text) { // by ids, which differ, or by which member was the quickest
		lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
		slices.Sort(lines)
		text = strings.Join(lines, "\n") + "\n"
	}
	return text
}

// sorted is whether an output's order says nothing: it is a line for each member.
func (s *side) sorted(text string) bool {
	for i := range s.cluster.Members {
		if !strings.Contains(text, fmt.Sprintf("E%d", i+1)) {
			return false
		}
	}
	return len(s.cluster.Members) > 1
}

// TestScripts runs each script with both, and wants the same said.
func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scripts", err)
	}
	ran := 0
	kinds := map[string]bool{}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			count, commands, err := parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			sides := [2]*side{newSide(t, member.Etcd, count), newSide(t, member.QKV, count)}
			for _, c := range commands {
				var said [2]string
				var failed [2]error
				var done sync.WaitGroup
				for i, s := range sides {
					done.Go(func() { said[i], failed[i] = s.run(c) })
				}
				done.Wait()
				if said[0] != said[1] || failed[0] != nil || failed[1] != nil {
					t.Errorf("etcdctl %s\netcd: %v\n%s\nqkv: %v\n%s", c.line, failed[0], said[0], failed[1], said[1])
				}
				if testing.Verbose() && os.Getenv("SHOW") != "" {
					fmt.Printf("> %s\n%s", c.line, said[1])
				}
				ran++
				if all, _ := words(c.line); len(all) > 0 {
					kinds[all[0]] = true
				}
			}
		})
	}
	t.Logf("%d commands of %d kinds: the same is printed", ran, len(kinds))
}
