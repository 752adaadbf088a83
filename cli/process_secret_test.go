package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/internal/testlong"
	"qkv/net/wire"
)

// secretProcesses is a cluster whose members have nothing but a cluster secret.
type secretProcesses struct {
	*clusterProcess
	dir     string
	secrets []string // all that were made
}

// newSecretProcesses plans members with one secret in their environment, and makes a client's certificate.
func newSecretProcesses(t *testing.T, count int) *secretProcesses {
	t.Helper()
	s := &secretProcesses{clusterProcess: newProcesses(t, count), dir: t.TempDir()}
	s.certsDir, s.client = filepath.Join(s.dir, "certs"), "admin"
	s.make()
	runQkv(t, nil, "cert", "client", "--secret-file", s.file(), "--certs-dir", s.certsDir, "admin").exits(t, form.ExitOK)
	for _, m := range s.members {
		m.environment = []string{"QKV_CLUSTER_SECRET=" + s.secrets[0]}
	}
	return s
}

func (s *secretProcesses) file() string { return filepath.Join(s.dir, "qkv-secret") }

// make runs `qkv cert secret` for the file, and remembers the secret.
func (s *secretProcesses) make(more ...string) {
	s.t.Helper()
	said := runQkv(s.t, nil, append([]string{"cert", "secret", "--output", s.file()}, more...)...).exits(s.t, form.ExitOK)
	if said.stdout != s.file()+"\n" {
		s.t.Errorf("qkv cert secret --output says %q", said.stdout)
	}
	s.secrets = append(s.secrets, strings.Fields(string(readFile(s.t, s.file())))[0])
}

// another plans a member that joins by the secrets in a variable.
func (s *secretProcesses) another(name, secrets string) *memberProcess {
	s.t.Helper()
	free := freeAddresses(s.t, 2)
	m := &memberProcess{
		t: s.t, name: name, listen: free[0], listenPeer: free[1], home: s.home, dataDir: filepath.Join(s.dir, name), log: filepath.Join(s.dir, name+".log"),
		arguments: []string{"--segment-bytes", "1048576", "--join", s.members[0].listenPeer}, environment: []string{"QKV_CLUSTER_SECRET=" + secrets},
	}
	s.t.Cleanup(m.cleanUp)
	return m
}

// voters waits until the named members and no others are voters.
func (s *secretProcesses) voters(names ...string) {
	s.t.Helper()
	var said string
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		said = s.qkv("member", "list", "-w", "json").stdout
		found := strings.Count(said, `"voter"`) == len(names) && strings.Count(said, `"started"`) == len(names)
		if found && !slices.ContainsFunc(names, func(name string) bool { return !strings.Contains(said, fmt.Sprintf("%q", name)) }) {
			return
		}
	}
	s.t.Fatalf("the voters are not %v: %s\n%s", names, said, s.tails())
}

// nowhere searches for the secrets: in logs, data folders and certificates, in what commands and HTTP say, and in command lines.
func (s *secretProcesses) nowhere(more ...*memberProcess) {
	s.t.Helper()
	var seeds []string
	for _, text := range s.secrets {
		seeds = append(seeds, text, text[len("qkvsecret1_"):][:20])
	}
	look := func(where, text string) {
		s.t.Helper()
		if text == "" {
			s.t.Errorf("%s is empty", where)
		}
		for _, seed := range seeds {
			if strings.Contains(text, seed) {
				s.t.Errorf("the secret is in %s", where)
			}
		}
	}
	for _, words := range [][]string{{"status"}, {"status", "-w", "json"}, {"member", "list", "-w", "json"}, {"cert", "show"}} {
		said := s.qkv(words...)
		look("qkv "+strings.Join(words, " "), said.stdout+said.stderr)
	}
	for _, m := range append(s.members, more...) {
		look("the log of "+m.name, m.lines())
		if m.running() {
			look("the command line of "+m.name, string(readFile(s.t, fmt.Sprintf("/proc/%d/cmdline", m.cmd.Process.Pid))))
		}
		must(s.t, filepath.WalkDir(m.dataDir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, "LOCK") {
				return nil // a folder that was never made, or a file that is replaced
			}
			if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
				look(path, string(b))
			}
			return nil
		}))
	}
}

// web asks for the metrics as curl does, which verifies the host name by ca.crt, with the client's certificate.
func (s *secretProcesses) web(m *memberProcess) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.certsDir, "ca.crt"))
	must(s.t, err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		s.t.Fatal("ca.crt holds no certificate")
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(s.certsDir, "client-admin.crt"), filepath.Join(s.certsDir, "client-admin.key"))
	must(s.t, err)
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}, Timeout: processWait}
	answer, err := c.Get("https://" + m.listen + "/metrics")
	must(s.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(body), "qkv_") {
		s.t.Errorf("%v: %.100s", err, body)
	}
	for _, secret := range s.secrets {
		if strings.Contains(string(body), secret[11:31]) {
			s.t.Error("the secret is in the metrics")
		}
	}
}

// TestProcessSecret: three members start with one word and no files. A fourth one joins without `qkv member add`, and one is removed and
// one replaced. Members with another secret, and with a part of it, are refused.
func TestProcessSecret(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	s := newSecretProcesses(t, 3)
	n2, n3 := s.members[1], s.members[2]
	n2.environment = append(n2.environment, "QKV_CERTS_DIR="+s.certsDir) // of the commands in the same shell
	n3.environment, n3.arguments = nil, append(n3.arguments, "--cluster-secret-file", s.file())
	for _, m := range s.members {
		m.start()
	}
	s.level()
	s.qkv("put", "key", "value").exits(t, form.ExitOK)
	n2.says("the certificate is derived", "from=QKV_CLUSTER_SECRET", `issuer="qkv CA of the cluster secret `)
	s.web(n2)
	for _, m := range s.members {
		noFiles(t, m.dataDir, "certs")
	}

	n4 := s.another("n4", s.secrets[0])
	n4.start()
	s.members = append(s.members, n4)
	s.voters("n1", "n2", "n3", "n4")
	n4.says("qkv serves", "name=n4")
	if got := s.qkv("get", "key", "--endpoints", n4.listen).exits(t, form.ExitOK); got.stdout != "value\n" {
		t.Errorf("n4 has %q", got.stdout)
	}

	foreign := runQkv(t, nil, "cert", "secret").exits(t, form.ExitOK).stdout
	wrong := s.another("n5", strings.TrimSpace(foreign))
	wrong.refuses(form.ExitFailed, "signed by another CA", "the same cluster secret")
	wrong.environment = []string{"QKV_CLUSTER_SECRET=" + s.secrets[0][:40]}
	wrong.refuses(form.ExitUsage, "the cluster secret has 40 characters, but should have 69")
	wrong.environment = []string{"QKV_CLUSTER_SECRET=swordfish"}
	wrong.refuses(form.ExitUsage, "this is no cluster secret")
	wrong.environment = []string{"QKV_CLUSTER_SECRET=" + s.secrets[0], "QKV_CLUSTER_SECRET_FILE=" + s.file()}
	wrong.refuses(form.ExitUsage, "give only one of them")
	noFiles(t, wrong.dataDir, "identity")

	// A removed member ends. Its certificate is still signed by the CA, and its id is refused.
	removed := s.qkv("member", "remove", "n2").exits(t, form.ExitOK, "rotate the secret", "qkv cert secret --output FILE --rotate")
	if !strings.Contains(removed.stdout, "is no member any more") {
		t.Errorf("qkv member remove says %s", removed.stdout)
	}
	if code := n2.exit(); code != form.ExitNotAllowed {
		t.Errorf("n2 was removed, and ended with %d:\n%s", code, n2.tail(10))
	}
	s.members = s.others(n2)
	s.voters("n1", "n3", "n4")
	n2.refuses(form.ExitNotAllowed, "removed")

	// A lost disk: the member waits until it is replaced, also with the secret.
	n3.kill()
	must(t, os.RemoveAll(n3.dataDir))
	n3.arguments = []string{"--segment-bytes", "1048576", "--join", s.members[0].listenPeer, "--cluster-secret-file", s.file()}
	n3.start()
	n3.says("waiting for permission to join", "qkv member replace n3 --peer "+n3.listenPeer)
	said := s.qkv("member", "replace", "n3", "--peer", n3.listenPeer).exits(t, form.ExitOK)
	if !strings.Contains(said.stdout, "--cluster-secret-file qkv-secret --join") || !strings.Contains(said.stdout, "3 of 3") {
		t.Errorf("qkv member replace says %s", said.stdout)
	}
	s.voters("n1", "n3", "n4")
	s.level()
	s.nowhere(n2, wrong)
}

// TestProcessSecretRotates: the secret is rotated on three members with writes going on, on one member after the other. Two have it in
// their environment and are restarted, one follows a file.
func TestProcessSecretRotates(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	s := newSecretProcesses(t, 3)
	n3 := s.members[2]
	n3.environment, n3.arguments = nil, append(n3.arguments, "--cluster-secret-file", s.file())
	for _, m := range s.members {
		m.start()
	}
	s.level()
	l := startMeter(s.clusterProcess, "rotate", s.clients(3), 3, 64, 20*time.Millisecond)
	l.acknowledges(processWait)
	stale := newTLSEtcdClient(t, s.certsDir, n3.listen) // never restarted
	stale.puts(t)
	turn := func(secrets string) {
		t.Helper()
		for _, m := range s.members[:2] {
			m.stop()
			m.environment = []string{"QKV_CLUSTER_SECRET=" + secrets}
			m.start()
			s.keepsUp()
			l.acknowledges(processWait)
		}
	}
	from := l.now()
	s.make("--rotate")
	runQkv(t, nil, "cert", "secret", "--output", s.file(), "--rotate").exits(t, form.ExitCondition, "a rotation is under way", "nothing was changed")
	both := s.secrets[1] + "," + s.secrets[0]
	if got := strings.Join(strings.Fields(string(readFile(t, s.file()))), ","); got != both {
		t.Fatalf("the file holds %s, not %s", got, both)
	}
	// As docs/hosts.md says: the certificates are renewed in another folder, and first ca.crt alone is copied to the clients.
	renewed := filepath.Join(s.dir, "renewed")
	must(t, os.CopyFS(renewed, os.DirFS(s.certsDir)))
	must(t, os.Chmod(filepath.Join(renewed, "client-admin.key"), 0o600))
	runQkv(t, nil, "cert", "renew", "--secret-file", s.file(), "--certs-dir", renewed).exits(t, form.ExitOK)
	copied := func(file string) {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(s.certsDir, file), readFile(t, filepath.Join(renewed, file)), 0o600))
	}
	copied("ca.crt")
	restarted := newTLSEtcdClient(t, s.certsDir, n3.listen)
	restarted.puts(t)
	now, err := form.CertMaker().SecretMember(wire.SecretSource{File: s.file()}, "n3", nil)
	must(t, err)
	n3.says("a new certificate is in use", `issuer="`+now.Certificate().Issuer.CommonName+`"`) // as docs/hosts.md says
	turn(both)
	s.qkv("put", "half", "way").exits(t, form.ExitOK) // with a certificate of the old secret
	newTLSEtcdClient(t, s.certsDir, n3.listen).puts(t)
	copied("client-admin.crt")
	s.qkv("put", "half", "way again").exits(t, form.ExitOK)
	restarted.puts(t)
	turn(s.secrets[1])
	all, err := wire.ReadSecrets(s.file())
	must(t, err)
	must(t, wire.WriteSecrets(s.file(), all[:1], true))
	n3.stop() // ends connections of the old secret
	n3.start()
	s.keepsUp()
	restarted.puts(t)
	stale.refuses(t)
	to := l.now()
	l.nothingLost()
	if n := l.failures(from, to); n > 0 {
		t.Errorf("%d puts failed: %v", n, l.told())
	}
	t.Logf("figures: a rotation on three members with %.0f puts/s, longest time without a put %v", l.rate(from, to), l.gap(from, to).Round(time.Millisecond))

	old := s.another("n4", s.secrets[0])
	old.refuses(form.ExitFailed, "the same cluster secret")
	s.nowhere(old)
	s.allRun()
}

// tlsEtcdClient is a client of etcd's API that reads its files as clientv3 does: ca.crt once, its certificate at each handshake.
type tlsEtcdClient struct{ pb.KVClient }

func newTLSEtcdClient(t *testing.T, certsDir, endpoint string) tlsEtcdClient {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(readFile(t, filepath.Join(certsDir, "ca.crt"))) {
		t.Fatal("ca.crt holds no certificate")
	}
	own := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(filepath.Join(certsDir, "client-admin.crt"), filepath.Join(certsDir, "client-admin.key"))
		return &pair, err
	}
	c, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, GetClientCertificate: own})))
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return tlsEtcdClient{pb.NewKVClient(c)}
}

// until puts again and again until the result is as wanted.
func (c tlsEtcdClient) until(t *testing.T, wanted func(error) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), processWait)
	defer cancel()
	for {
		_, err := c.Put(ctx, &pb.PutRequest{Key: []byte("etcd")})
		if wanted(err) {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("an etcd client's put ends with %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c tlsEtcdClient) puts(t *testing.T) {
	t.Helper()
	c.until(t, func(err error) bool { return err == nil })
}

// refuses waits until the client refuses the member's certificate.
func (c tlsEtcdClient) refuses(t *testing.T) {
	t.Helper()
	c.until(t, func(err error) bool { return err != nil && strings.Contains(err.Error(), "x509: ") })
}

// etcdByHTTP plans three members by etcd's command line with http:// peers.
func etcdByHTTP(t *testing.T, more ...string) *clusterProcess {
	t.Helper()
	dir := t.TempDir()
	port, err := freePorts(6)
	must(t, err)
	c := &clusterProcess{t: t, home: filepath.Join(dir, "home")}
	var list []string
	for i := range 3 {
		list = append(list, fmt.Sprintf("n%d=http://%s", i+1, run.Loopback(port+2*i+1)))
	}
	for i := range 3 {
		name := fmt.Sprintf("n%d", i+1)
		m := &memberProcess{
			t: t, name: name, listen: run.Loopback(port + 2*i), home: c.home, dataDir: filepath.Join(dir, name), log: filepath.Join(dir, name+".log"),
			environment: []string{"QKV_SEGMENT_BYTES=1048576", "QKV_HOME=" + c.home},
		}
		client, peer := "http://"+m.listen, "http://"+run.Loopback(port+2*i+1)
		m.line = append([]string{
			"etcd", "--name=" + name, "--data-dir=" + m.dataDir, "--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=" + strings.Join(list, ","),
		}, more...)
		c.members = append(c.members, m)
		t.Cleanup(m.cleanUp)
	}
	return c
}

// TestProcessEtcdSecret: members by etcd's command line with http:// peers meet by a cluster secret or, if they are told so, by one of the
// cluster's token, which they say.
func TestProcessEtcdSecret(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	secret := strings.TrimSpace(runQkv(t, nil, "cert", "secret").exits(t, form.ExitOK).stdout)
	safe, insecure := etcdByHTTP(t), etcdByHTTP(t, "--insecure-peers")
	for _, m := range safe.members {
		m.environment = append(m.environment, "QKV_CLUSTER_SECRET="+secret)
	}
	for _, c := range []*clusterProcess{safe, insecure} {
		for _, m := range c.members {
			m.start()
		}
	}
	for _, c := range []*clusterProcess{safe, insecure} {
		c.level()
		c.qkv("put", "greeting", "hello").exits(t, form.ExitOK)
		said, log := c.qkv("status").exits(t, form.ExitOK).stdout, c.members[0].lines()
		if strings.Contains(said, "INSECURE") != (c == insecure) || strings.Contains(log, "INSECURE: --insecure-peers") != (c == insecure) {
			t.Errorf("qkv status says %s, and the log is %s", said, log)
		}
		if strings.Contains(log+said, secret) || !strings.Contains(log, "qkv CA of the cluster secret") {
			t.Errorf("the secret is in the log, or was not used: %s", log)
		}
	}
	// A member with another token, or another secret, is no peer.
	for c, change := range map[*clusterProcess]func(m *memberProcess){
		insecure: func(m *memberProcess) { m.line = append(m.line, "--initial-cluster-token=other") },
		safe:     func(m *memberProcess) { m.environment, m.line = m.environment[:2], append(m.line, "--insecure-peers") },
	} {
		m := c.members[2]
		m.stop()
		change(m)
		m.start()
		c.members[0].says("cannot connect to a peer", "the same cluster secret")
	}
	safe.members[1].stop()
	safe.members[1].line = append(safe.members[1].line, "--insecure-peers")
	safe.members[1].refuses(form.ExitFailed, "--insecure-peers and QKV_CLUSTER_SECRET are both given")
}

// TestProcessEtcdAlone: a single member's line with an http:// peer URL that other hosts could reach: its peer port is on loopback.
func TestProcessEtcdAlone(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := etcdByHTTP(t)
	c.members = c.members[:1]
	m := c.members[0]
	_, port, _ := strings.Cut(m.line[5], "://127.0.0.1:")
	peer := "http://10.99.0.1:" + port
	m.line = append(m.line[:5], "--listen-peer-urls=http://0.0.0.0:"+port, "--initial-advertise-peer-urls="+peer, "--initial-cluster=n1="+peer)
	m.start()
	m.says("the only member listens for peers on loopback", "http://0.0.0.0:"+port, "127.0.0.1:"+port)
	c.level()
	c.qkv("put", "greeting", "hello").exits(t, form.ExitOK)
	c.started()
	if said := c.qkv("member", "list").exits(t, form.ExitOK).stdout; !strings.Contains(said, "10.99.0.1:"+port) {
		t.Errorf("the members are %s", said)
	}
	number, err := strconv.Atoi(port)
	must(t, err)
	for _, table := range []string{"udp", "udp6", "tcp", "tcp6"} {
		for line := range strings.Lines(string(readFile(t, "/proc/net/"+table))) {
			local := strings.Fields(line)[1]
			if strings.HasSuffix(local, fmt.Sprintf(":%04X", number)) && strings.HasPrefix(local, "0000000") {
				t.Errorf("the peer port is open to other hosts: %s", line)
			}
		}
	}
}
