package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// pki is a folder of certificates as kubeadm makes them for etcd: of one CA, without a word of qkv.
type pki struct {
	t      testing.TB
	dir    string
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

func newPKI(t testing.TB) *pki {
	t.Helper()
	p := &pki{t: t, dir: t.TempDir(), serial: 1}
	var err error
	p.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := p.template("etcd-ca")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, p.key.Public(), p.key)
	must(t, err)
	p.ca, err = x509.ParseCertificate(der)
	must(t, err)
	p.write("ca.crt", "CERTIFICATE", der)
	return p
}

func (p *pki) template(name string) *x509.Certificate {
	p.serial++
	return &x509.Certificate{
		SerialNumber: big.NewInt(p.serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

func (p *pki) write(name, block string, der []byte) {
	p.t.Helper()
	must(p.t, os.WriteFile(p.path(name), pem.EncodeToMemory(&pem.Block{Type: block, Bytes: der}), 0o600))
}

func (p *pki) path(name string) string { return filepath.Join(p.dir, name) }

// sign makes NAME.crt and NAME.key. With hosts it is a server's, which dials as well; without, a client's.
func (p *pki) sign(name string, hosts ...string) {
	p.t.Helper()
	template := p.template(name)
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(p.t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, p.ca, key.Public(), p.key)
	must(p.t, err)
	p.write(name+".crt", "CERTIFICATE", der)
	private, err := x509.MarshalECPrivateKey(key)
	must(p.t, err)
	p.write(name+".key", "EC PRIVATE KEY", private)
}

// client is an HTTP client that believes the CA, and shows a certificate if one is named.
func (p *pki) client(name string) *http.Client {
	p.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(p.ca)
	config := &tls.Config{RootCAs: roots}
	if name != "" {
		pair, err := tls.LoadX509KeyPair(p.path(name+".crt"), p.path(name+".key"))
		must(p.t, err)
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: processWait}
}

// controlPlane are members as kubeadm starts them on hosts of their own, which are addresses of loopback.
type controlPlane struct {
	*clusterProcess
	*pki
	metrics, secure []string // URLs of each
}

func newControlPlane(t testing.TB, count int) *controlPlane {
	t.Helper()
	c := &controlPlane{clusterProcess: &clusterProcess{t: t, home: filepath.Join(t.TempDir(), "home")}, pki: newPKI(t)}
	c.sign("healthcheck-client")
	c.sign("apiserver-etcd-client")
	port, err := freePorts(3 * count)
	must(t, err)
	var list []string
	for i := range count {
		list = append(list, fmt.Sprintf("node%d=%s", i+1, c.peerURL(i, port)))
	}
	for i := range count {
		c.add(i, port, strings.Join(list, ","))
	}
	return c
}

func host(i int) string { return fmt.Sprintf("127.0.0.%d", i+1) }

func (c *controlPlane) peerURL(i, port int) string {
	return fmt.Sprintf("https://%s:%d", host(i), port+3*i+1)
}

// add is a member with the flags of kubeadm's static pod, whose certificates are made.
func (c *controlPlane) add(i, port int, list string) {
	name, dir := fmt.Sprintf("node%d", i+1), c.clusterProcess.t.TempDir()
	server, peer := "server-"+name, "peer-"+name
	c.sign(server, name, "localhost", "127.0.0.1", "::1", host(i))
	c.sign(peer, name, host(i))
	client := fmt.Sprintf("https://%s:%d", host(i), port+3*i)
	urls := fmt.Sprintf("https://127.0.0.1:%d,%s", port+3*i, client)
	if i == 0 {
		urls = client
	}
	c.metrics = append(c.metrics, fmt.Sprintf("http://127.0.0.1:%d", port+3*i+2))
	c.secure = append(c.secure, client)
	m := &memberProcess{
		t: c.clusterProcess.t, name: name, listen: run.Loopback(port + 3*i), home: c.home, dataDir: filepath.Join(dir, "etcd"), log: filepath.Join(dir, name+".log"),
		environment: []string{"QKV_HOME=" + c.home, "QKV_SEGMENT_BYTES=1048576"},
	}
	m.line = []string{
		"etcd", "--advertise-client-urls=" + client,
		"--cert-file=" + c.path(server+".crt"), "--client-cert-auth=true", "--data-dir=" + m.dataDir, "--feature-gates=InitialCorruptCheck=true",
		"--initial-advertise-peer-urls=" + c.peerURL(i, port), "--initial-cluster=" + list, "--key-file=" + c.path(server+".key"),
		"--listen-client-urls=" + urls, "--listen-metrics-urls=" + c.metrics[i], "--listen-peer-urls=" + c.peerURL(i, port), "--name=" + name,
		"--peer-cert-file=" + c.path(peer+".crt"), "--peer-client-cert-auth=true", "--peer-key-file=" + c.path(peer+".key"),
		"--peer-trusted-ca-file=" + c.path("ca.crt"), "--snapshot-count=10000", "--trusted-ca-file=" + c.path("ca.crt"),
		"--watch-progress-notify-interval=5s",
	}
	c.members = append(c.members, m)
	c.clusterProcess.t.Cleanup(m.cleanUp)
}

// probes asks for what a kubelet asks for, until the answer is well.
func (c *controlPlane) probes(i int) {
	c.clusterProcess.t.Helper()
	for _, path := range []string{"/livez", "/readyz"} {
		c.answers(http.DefaultClient, c.metrics[i]+path, "ok")
	}
}

// answers asks until the answer is 200 and holds a text.
func (c *controlPlane) answers(client *http.Client, url, want string) {
	c.clusterProcess.t.Helper()
	said := ""
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		r, err := client.Get(url)
		if err != nil {
			said = err.Error()
			continue
		}
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if said = fmt.Sprint(r.StatusCode, " ", string(body), err); r.StatusCode == http.StatusOK && strings.Contains(said, want) {
			return
		}
	}
	c.clusterProcess.t.Fatalf("%s does not answer %q: %s", url, want, said)
}

// TestProcessKubeadm starts the etcd of a single control plane by kubeadm's command line, unchanged.
func TestProcessKubeadm(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := newControlPlane(t, 1)
	m := c.members[0]
	m.start()
	m.says("ready to serve client requests")
	c.probes(0)
	c.answers(c.pki.client("healthcheck-client"), c.secure[0]+"/health", `{"health":"true"`)
	c.answers(c.pki.client("apiserver-etcd-client"), c.secure[0]+"/version", `"etcdserver":"3.7`)
	if _, err := c.pki.client("").Get(c.secure[0] + "/health"); err == nil {
		t.Error("a client without a certificate came in")
	}
	c.qkv("put", "greeting", "hello").exits(t, form.ExitOK)
	m.stop()
	m.start()
	c.probes(0)
	if said := c.qkv("get", "greeting").stdout; said != "hello\n" {
		t.Errorf("after a restart: %q", said)
	}

	// Keys that anybody reads are kubeadm's business; a certificate that is replaced is used without a restart.
	before := m.lines()
	c.sign("server-node1", "127.0.0.1")
	m.says("a new certificate is in use", c.path("server-node1.crt"))
	c.answers(c.pki.client("healthcheck-client"), c.secure[0]+"/health", `{"health":"true"`)
	if strings.Contains(before, `"level":"error"`) {
		t.Errorf("the log has errors:\n%s", before)
	}
}

// TestProcessKubeadmMigrated follows docs/moving.md: a file of an etcd with users becomes a folder that kubeadm's line starts, and its member
// writes such a file for a user who logs in.
func TestProcessKubeadmMigrated(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	old := startProcesses(t, 1)
	dir := t.TempDir()
	word, saved := filepath.Join(dir, "password"), filepath.Join(dir, "backup.db")
	must(t, os.WriteFile(word, []byte("secret\n"), 0o600))
	for _, line := range []string{"put greeting hello", "user add root --password-file " + word, "user grant root root", "user add admin --role root", "auth enable"} {
		old.qkv(strings.Fields(line)...).exits(t, form.ExitOK)
	}
	old.qkv("migrate", "to-etcd", "--snapshot", saved, "--user", "root:wrong").exits(t, form.ExitNotAllowed, "the members refuse the user", "--user NAME")
	noFiles(t, dir, "backup.db")
	old.qkv("migrate", "to-etcd", "--snapshot", saved, "--user", "root", "--user-password-file", word).exits(t, form.ExitOK)

	c := newControlPlane(t, 1)
	m := c.members[0]
	for _, args := range [][]string{{"migrate", "from-etcd", "--snapshot", saved}, {"restore", saved}} {
		c.qkv(append(args, "--data-dir", m.dataDir, "--name", m.name)...).exits(t, form.ExitOK)
		for range 2 {
			m.start()
			m.says("ready to serve client requests")
			c.probes(0)
			if said := c.qkv("get", "greeting", "--user", "root:secret").exits(t, form.ExitOK).stdout; said != "hello\n" {
				t.Errorf("%s: the key is %q", args[0], said)
			}
			c.qkv("get", "greeting", "--user", "root:wrong").exits(t, form.ExitNotAllowed)
			m.stop()
		}
		m.start()
		m.says("ready to serve client requests")
		c.probes(0)
		back := filepath.Join(dir, args[0]+".db")
		to := []string{"migrate", "to-etcd", "--snapshot", back, "--endpoints", c.secure[0], "--source-cacert", c.path("ca.crt"), "--source-cert", c.path("healthcheck-client.crt"), "--source-key", c.path("healthcheck-client.key")}
		c.qkv(to...).exits(t, form.ExitNotAllowed, "--user NAME")
		c.qkv(append(to, "--user", "root:secret")...).exits(t, form.ExitOK)
		m.stop()
		must(t, os.RemoveAll(m.dataDir))
	}
}

// TestProcessKubeadmThree starts the members of three control planes. Who comes with a certificate of the same CA for another
// host is none of them.
func TestProcessKubeadmThree(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := newControlPlane(t, 3)
	for i := range 2 {
		c.members[i].start()
	}
	last := c.members[2]
	line := slices.Clone(last.line)
	for i, word := range last.line { // the certificate of a client, and of another member
		last.line[i] = strings.NewReplacer("peer-node3.crt", "peer-node1.crt", "peer-node3.key", "peer-node1.key").Replace(word)
	}
	c.members[0].says("waiting for node3")
	last.start()
	c.members[0].says("refused a peer", "is for node1, 127.0.0.1, but the member is at 127.0.0.3")
	last.stop()
	last.line = line
	last.start()
	for i, m := range c.members {
		m.says("ready to serve client requests")
		c.probes(i)
	}
	c.qkv("put", "greeting", "hello").exits(t, form.ExitOK)
	for i := range c.members { // one after the other is killed, and comes back
		m := c.members[i]
		m.kill()
		c.qkv("put", "greeting", m.name).exits(t, form.ExitOK)
		m.start()
		c.probes(i)
	}
	if said := c.qkv("get", "greeting").stdout; said != "node3\n" {
		t.Errorf("got %q", said)
	}
}

// TestProcessEtcdAuto starts a member with certificates that it makes itself, in an environment that says nothing: of a container
// without a home.
func TestProcessEtcdAuto(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	dir := t.TempDir()
	port, err := freePorts(3)
	must(t, err)
	client, peer := "https://"+run.Loopback(port), "https://"+run.Loopback(port+1)
	m := &memberProcess{t: t, name: "a", log: filepath.Join(dir, "a.log"), before: []string{"/usr/bin/env", "-u", "HOME", "-u", "XDG_CONFIG_HOME"}}
	m.environment = []string{"QKV_SEGMENT_BYTES=1048576"}
	m.line = []string{
		"etcd", "--name=a", "--data-dir=" + filepath.Join(dir, "a"), "--auto-tls", "--peer-auto-tls", "--self-signed-cert-validity=2",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client, "--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=a=" + peer, "--listen-metrics-urls=https://" + run.Loopback(port+2),
	}
	t.Cleanup(m.cleanUp)
	anybody := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}, Timeout: processWait}
	certificate := func() *x509.Certificate {
		t.Helper()
		r, err := anybody.Get(client + "/version")
		must(t, err)
		_ = r.Body.Close()
		return r.TLS.PeerCertificates[0]
	}
	m.start()
	m.says("ready to serve client requests")
	c := &controlPlane{clusterProcess: &clusterProcess{t: t}}
	c.answers(anybody, "https://"+run.Loopback(port+2)+"/readyz", "ok")
	first := certificate()
	if err := first.VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
	if years := time.Until(first.NotAfter).Hours() / 24 / 365; years < 1.9 || years > 2.1 {
		t.Errorf("it ends in %.1f years", years)
	}
	m.stop()
	m.start()
	c.answers(anybody, client+"/health", `{"health":"true"`)
	if !certificate().Equal(first) {
		t.Error("it is another one after a restart")
	}
}

// TestProcessEtcdStreams: --max-concurrent-streams is what a member tells its clients, and --enable-grpc-gateway=false takes JSON away.
func TestProcessEtcdStreams(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	dir := t.TempDir()
	port, err := freePorts(2)
	must(t, err)
	client, peer := "http://"+run.Loopback(port), "http://"+run.Loopback(port+1)
	m := &memberProcess{t: t, name: "a", log: filepath.Join(dir, "a.log"), environment: []string{"QKV_SEGMENT_BYTES=1048576", "QKV_HOME=" + filepath.Join(dir, "home")}}
	m.line = []string{
		"etcd", "--name=a", "--data-dir=" + filepath.Join(dir, "a"), "--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=a=" + peer,
		"--max-concurrent-streams=3", "--enable-grpc-gateway=false",
	}
	t.Cleanup(m.cleanUp)
	m.start()
	m.says("ready to serve client requests")
	r, err := http.Post(client+"/v3/kv/range", "application/json", strings.NewReader(`{"key":"YQ=="}`))
	must(t, err)
	_ = r.Body.Close()
	if r.StatusCode != http.StatusNotFound {
		t.Errorf("a range by JSON: %s", r.Status)
	}
	conn, _, _ := etcdFrames(t.Context(), run.Loopback(port), rangeMethod)
	if conn == nil {
		t.Fatal("no connection")
	}
	defer conn.Close()
	frame, err := http2.NewFramer(io.Discard, conn).ReadFrame()
	must(t, err)
	settings, is := frame.(*http2.SettingsFrame)
	if !is {
		t.Fatalf("the first frame is %v", frame)
	}
	if streams, told := settings.Value(http2.SettingMaxConcurrentStreams); streams != 3 {
		t.Errorf("a connection may have %d streams (%v)", streams, told)
	}
}

// TestProcessEtcdLines starts a member by lines that etcd takes: its documentation's for Docker, RKE2's address for HTTP, and an older name of
// a cipher suite. Its small quota is etcd's: NOSPACE stays until it is disarmed.
func TestProcessEtcdLines(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	keys := newPKI(t)
	keys.sign("server", "127.0.0.1")
	port, err := freePorts(3)
	must(t, err)
	dir, everywhere := t.TempDir(), fmt.Sprintf("http://0.0.0.0:%d", port+1)
	c := &clusterProcess{t: t, home: filepath.Join(dir, "home")}
	m := &memberProcess{t: t, name: "s1", listen: run.Loopback(port), log: filepath.Join(dir, "log"), environment: []string{"QKV_SEGMENT_BYTES=1048576", "QKV_HOME=" + c.home}}
	c.members = append(c.members, m)
	m.line = []string{
		"etcd", "--name", m.name, "--data-dir", filepath.Join(dir, "data"), "--listen-client-urls", fmt.Sprintf("http://0.0.0.0:%d", port), "--advertise-client-urls", fmt.Sprintf("http://0.0.0.0:%d", port),
		"--listen-peer-urls", everywhere, "--initial-advertise-peer-urls", everywhere, "--initial-cluster", m.name + "=" + everywhere, "--initial-cluster-token", "tkn", "--initial-cluster-state", "new",
		"--listen-client-http-urls", fmt.Sprintf("https://127.0.0.1:%d", port+2), "--cert-file", keys.path("server.crt"), "--key-file", keys.path("server.key"),
		"--cipher-suites", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "--tls-max-version", "TLS1.2",
		"--v2-deprecation", "gone", "--quota-backend-bytes", "10240",
	}
	t.Cleanup(m.cleanUp)
	for range 2 {
		m.start()
		c.level()
		r, err := keys.client("").Get(fmt.Sprintf("https://127.0.0.1:%d/version", port+2))
		must(t, err)
		_ = r.Body.Close()
		if r.StatusCode != http.StatusOK || r.TLS.CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 {
			t.Errorf("the address for HTTP: %s, by %s", r.Status, tls.CipherSuiteName(r.TLS.CipherSuite))
		}
		m.stop()
	}
	m.start()
	c.level()
	c.qkv("put", "small", "value").exits(t, form.ExitOK)
	c.qkv("put", "large", strings.Repeat("x", 12<<10)).exits(t, form.ExitOK)
	raised := func(want bool) {
		t.Helper()
		c.await(fmt.Sprintf("NOSPACE is raised: %v", want), func(all []cluster.MemberStatus) bool { return len(all) > 0 && raises(all[0], "NOSPACE") == want })
	}
	raised(true)
	c.qkv("put", "small", "more").exits(t, form.ExitFailed, "NOSPACE")
	c.qkv("del", "large").exits(t, form.ExitOK)
	c.qkv("compact", "4").exits(t, form.ExitOK)
	for range 10 { // the leader looks each 200 ms, and could end the alarm
		time.Sleep(50 * time.Millisecond)
		raised(true)
	}
	alarm := func(request string) string {
		t.Helper()
		r, err := keys.client("").Post(fmt.Sprintf("https://127.0.0.1:%d/v3/maintenance/alarm", port+2), "application/json", strings.NewReader(request))
		must(t, err)
		defer r.Body.Close()
		said, err := io.ReadAll(r.Body)
		must(t, err)
		return string(said)
	}
	listed := alarm(`{"action":"GET"}`)
	id := regexp.MustCompile(`"memberID":"(\d+)"`).FindStringSubmatch(listed)
	if id == nil {
		t.Fatalf("no alarm is listed: %s", listed)
	}
	alarm(`{"action":"DEACTIVATE","memberID":"` + id[1] + `","alarm":"NOSPACE"}`)
	raised(false)
	c.qkv("put", "small", "more").exits(t, form.ExitOK)
}

// TestProcessEtcdNames starts three members without certificates and without a home in the environment: they share a local
// CA beside their data folders. Their names are long, contain separators of paths, and are not ASCII.
func TestProcessEtcdNames(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	dir := t.TempDir()
	port, err := freePorts(6)
	must(t, err)
	c := &clusterProcess{t: t, home: filepath.Join(dir, "qkv-home")}
	names := []string{strings.Repeat("node-1.example.", 16) + "node-1.orgs", "rack 1/../münchen:100%", strings.Repeat("ü", limits.NameBytes/2)}
	if len(names[0]) != 251 {
		t.Fatalf("%d bytes", len(names[0]))
	}
	var list []string
	for i, name := range names {
		list = append(list, fmt.Sprintf("%s=http://%s", name, run.Loopback(port+2*i+1)))
	}
	for i, name := range names {
		m := &memberProcess{
			t: t, name: fmt.Sprintf("n%d", i+1), listen: run.Loopback(port + 2*i), home: c.home, dataDir: filepath.Join(dir, fmt.Sprintf("n%d", i+1)), log: filepath.Join(dir, fmt.Sprintf("n%d.log", i+1)),
			before: []string{"/usr/bin/env", "-u", "HOME", "-u", "XDG_CONFIG_HOME"}, environment: []string{"QKV_SEGMENT_BYTES=1048576"},
		}
		client, peer := "http://"+m.listen, "http://"+run.Loopback(port+2*i+1)
		m.line = []string{
			"etcd", "--name=" + name, "--data-dir=" + m.dataDir, "--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=" + strings.Join(list, ","),
		}
		c.members = append(c.members, m)
		t.Cleanup(m.cleanUp)
		m.start()
	}
	for range 2 {
		for _, m := range c.members {
			m.says("ready to serve client requests")
		}
		listed := c.qkv("member", "list", "-w", "json")
		listed.exits(t, form.ExitOK)
		for _, name := range names {
			if !strings.Contains(listed.stdout, fmt.Sprintf("%q", name)) {
				t.Errorf("%q is not among the members: %s", name, listed.stdout)
			}
		}
		c.qkv("put", "greeting", "hello").exits(t, form.ExitOK)
		for _, m := range c.members { // and again, from what their data folders hold
			m.stop()
		}
		for _, m := range c.members {
			must(t, os.Remove(m.log))
			m.start()
		}
	}
}
