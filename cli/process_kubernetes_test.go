package cli

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"qkv/cli/form"
	"qkv/internal/testlong"
)

// manifest is the part of deploy/kubernetes/statefulset.yaml that this test needs.
type manifest struct {
	Spec struct {
		Replicas            int
		PodManagementPolicy string `yaml:"podManagementPolicy"`
		Template            struct {
			Spec struct {
				Containers []container
			}
		}
	}
}

type container struct {
	Args  []string
	Env   []struct{ Name, Value string }
	Ports []struct {
		Name string
		Port int `yaml:"containerPort"`
	}
	Startup   podProbe `yaml:"startupProbe"`
	Liveness  podProbe `yaml:"livenessProbe"`
	Readiness podProbe `yaml:"readinessProbe"`
}

type podProbe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

const statefulSet = "../deploy/kubernetes/statefulset.yaml"

// parsePods parses the manifest.
func parsePods(t *testing.T, text string) (m manifest) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// joining returns the manifest with QKV_JOIN in place of QKV_INITIAL_CLUSTER, edited as the README says.
func joining(t *testing.T, text string) string {
	t.Helper()
	founding := regexp.MustCompile(`(?m)^( +)(- name: QKV_INITIAL_CLUSTER\n)( +)(value: .*)$`)
	join := regexp.MustCompile(`(?m)^( +)#(- name: QKV_JOIN\n)( +)#(  value: .*)$`)
	if !founding.MatchString(text) || !join.MatchString(text) {
		t.Fatal("the manifest has no two lines for QKV_INITIAL_CLUSTER and QKV_JOIN each")
	}
	return join.ReplaceAllString(founding.ReplaceAllString(text, "$1#$2$3#$4"), "$1$2$3$4")
}

// pods are the pods of the StatefulSet as processes on loopback. The names of the manifest and of its README become addresses.
type pods struct {
	t         *testing.T
	container container
	addresses *strings.Replacer
	dir       string
	members   []*memberProcess
	metrics   []string
}

func newPods(t *testing.T) *pods {
	t.Helper()
	m := parsePods(t, string(readFile(t, statefulSet)))
	if m.Spec.Replicas != 3 || m.Spec.PodManagementPolicy != "Parallel" {
		t.Fatalf("the manifest has %d replicas, started %s: founders wait for each other", m.Spec.Replicas, m.Spec.PodManagementPolicy)
	}
	p := &pods{t: t, container: m.Spec.Template.Spec.Containers[0], dir: t.TempDir()}
	var words []string
	for i := range m.Spec.Replicas {
		free, name := freeAddresses(t, 3), fmt.Sprintf("qkv-%d", i)
		words = append(words, name+".qkv.default.svc:2379", free[0], name+".qkv.default.svc:2380", free[1])
		p.metrics = append(p.metrics, free[2])
		one := &memberProcess{t: t, name: name, listen: free[0], listenPeer: free[1], dataDir: filepath.Join(p.dir, name), log: filepath.Join(p.dir, name+".log"), line: p.container.Args}
		t.Cleanup(one.cleanUp)
		p.members = append(p.members, one)
	}
	p.addresses = strings.NewReplacer(append(words, "--certs-dir certs", "--certs-dir "+filepath.Join(p.dir, "certs"))...)
	return p
}

// of returns the environment of a pod.
func (p *pods) of(i int) (environment []string) {
	m, values := p.members[i], map[string]string{"QKV_NAME": p.members[i].name, "NAMESPACE": "default", "QKV_SEGMENT_BYTES": "1048576"}
	for _, v := range p.container.Env {
		if v.Value != "" {
			values[v.Name] = regexp.MustCompile(`\$\((\w+)\)`).ReplaceAllStringFunc(v.Value, func(s string) string { return values[s[2:len(s)-1]] })
		}
	}
	here := strings.NewReplacer("0.0.0.0:2379", m.listen, "0.0.0.0:2380", m.listenPeer, "0.0.0.0:2381", p.metrics[i], "/var/lib/qkv", m.dataDir, "/etc/qkv/certs", filepath.Join(p.dir, "certs"))
	for name, value := range values {
		environment = append(environment, name+"="+here.Replace(p.addresses.Replace(value)))
	}
	return environment
}

func (p *pods) start(i int) {
	p.t.Helper()
	if err := os.MkdirAll(p.members[i].dataDir, 0o700); err != nil {
		p.t.Fatal(err)
	}
	p.members[i].environment = p.of(i)
	p.members[i].start()
}

// lines returns the lines of the README's code blocks that begin with a word.
func (p *pods) lines(begin string) (all []string) {
	for line := range strings.Lines(string(readFile(p.t, "../deploy/kubernetes/README.md"))) {
		if strings.HasPrefix(line, begin) {
			all = append(all, p.addresses.Replace(strings.TrimSpace(line)))
		}
	}
	if len(all) == 0 {
		p.t.Fatalf("the README has no line %q", begin)
	}
	return all
}

// exec runs the README's command in a pod.
func (p *pods) exec(command string) answered {
	p.t.Helper()
	line := p.lines("kubectl exec qkv-0 -- " + command)[0]
	return runQkv(p.t, p.of(0), strings.Fields(line)[5:]...).exits(p.t, form.ExitOK)
}

// passes reports whether a probe of a pod passes.
func (p *pods) passes(i int, path string) bool {
	answer, err := (&http.Client{Timeout: 5 * time.Second}).Get("http://" + p.metrics[i] + path)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func (p *pods) ready(i int) {
	p.t.Helper()
	for deadline := time.Now().Add(processWait); !p.passes(i, p.container.Readiness.HTTPGet.Path); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s is not ready:\n%s", p.members[i].name, p.members[i].tail(20))
		}
	}
}

// TestProcessKubernetes follows deploy/kubernetes/README.md with processes: the environment of the StatefulSet founds a cluster, its pods
// restart one after the other to join from then on, and a member whose volume is gone is replaced.
func TestProcessKubernetes(t *testing.T) {
	testlong.Skip(t)
	p := newPods(t)
	for _, line := range p.lines("qkv cert") {
		if line != "qkv cert renew --certs-dir "+filepath.Join(p.dir, "certs") {
			runQkv(t, nil, strings.Fields(line)[1:]...).exits(t, form.ExitOK)
		}
	}
	p.start(0)
	p.start(1)
	p.members[0].says("qkv-2")
	if p.passes(0, p.container.Readiness.HTTPGet.Path) {
		t.Error("a founder is ready, and waits for another one")
	}
	p.start(2)
	for i := range p.members {
		p.ready(i)
	}
	for _, path := range []string{p.container.Startup.HTTPGet.Path, p.container.Liveness.HTTPGet.Path} {
		if !p.passes(0, path) {
			t.Errorf("the probe %s fails at a member that is ready", path)
		}
	}
	if said := p.exec("qkv status"); !strings.HasPrefix(said.stdout, "HEALTHY: 3 of 3 voters") {
		t.Errorf("a new cluster: %s", said.stdout)
	}
	runQkv(t, p.of(0), "put", "greeting", "hello").exits(t, form.ExitOK)

	p.container = parsePods(t, joining(t, string(readFile(t, statefulSet)))).Spec.Template.Spec.Containers[0]
	if !slices.ContainsFunc(p.of(0), func(v string) bool { return strings.HasPrefix(v, "QKV_JOIN=") }) || slices.ContainsFunc(p.of(0), func(v string) bool { return strings.HasPrefix(v, "QKV_INITIAL_CLUSTER=") }) {
		t.Fatalf("the edited manifest has the environment %q", p.of(0))
	}
	for i := len(p.members) - 1; i >= 0; i-- {
		p.members[i].stop()
		p.start(i)
		p.ready(i)
	}

	p.members[2].kill()
	if err := os.RemoveAll(p.members[2].dataDir); err != nil {
		t.Fatal(err)
	}
	p.start(2)
	p.members[2].says("qkv member replace qkv-2 --peer " + p.members[2].listenPeer)
	p.exec("qkv member replace")
	p.ready(2)
	if said := p.exec("qkv status"); !strings.HasPrefix(said.stdout, "HEALTHY: 3 of 3 voters") {
		t.Errorf("after the replacement: %s", said.stdout)
	}
	if said := runQkv(t, append(p.of(0), "QKV_ENDPOINTS="+p.members[2].listen), "get", "--serializable", "greeting").exits(t, form.ExitOK); said.stdout != "hello\n" {
		t.Errorf("the new member has %q", said.stdout)
	}
}
