package kube

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"qkv/net/etcd/compat/member"
)

func median(all []time.Duration) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// built is the path of kube-apiserver, which is built from its module: some minutes on two cores, and 2 GB of Go's cache.
func built(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("QKV_COMPAT_BIN"); dir != "" {
		if path := filepath.Join(dir, "kube-apiserver"); os.Chmod(path, 0o700) == nil {
			return path
		}
	}
	path := filepath.Join(t.TempDir(), "kube-apiserver")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36",
		"-o", path, "k8s.io/kubernetes/cmd/kube-apiserver")
	cmd.Dir = "apiserver"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build kube-apiserver: %v\n%s", err, out)
	}
	return path
}

// apiserver is a running one.
type apiserver struct {
	t    *testing.T
	url  string
	http *http.Client
	log  string
}

const token = "test"

// serve starts an apiserver over members, and waits until it says that it is ready.
func serve(t *testing.T, path string, endpoints []string, flags ...string) (a *apiserver, took time.Duration) {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, data, 0o600))
		return path
	}
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	key := file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}))
	port := member.FreePort(t)
	var urls []string
	for _, one := range endpoints {
		urls = append(urls, "http://"+one)
	}
	a = &apiserver{t: t, url: fmt.Sprintf("https://127.0.0.1:%d", port), log: filepath.Join(dir, "log")}
	a.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	out, err := os.Create(a.log)
	must(t, err)
	defer out.Close()
	cmd := exec.Command(path, "--etcd-servers", strings.Join(urls, ","), "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(port),
		"--cert-dir", filepath.Join(dir, "certs"), "--service-account-issuer", "https://localhost", "--service-account-key-file", key,
		"--service-account-signing-key-file", key, "--service-cluster-ip-range", "10.0.0.0/24", "--authorization-mode", "RBAC",
		"--token-auth-file", file("tokens.csv", []byte(token+",admin,1,system:masters\n")), "--etcd-compaction-interval", "3s",
		"--event-ttl", "1m", "--etcd-healthcheck-timeout", "10s", "--etcd-readycheck-timeout", "10s", "--profiling=false", "-v", "1")
	cmd.Args = append(cmd.Args, flags...)
	cmd.Stdout, cmd.Stderr = out, out
	begun := time.Now()
	must(t, member.Spawn(cmd))
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	for {
		code, _, err := a.ask(context.Background(), http.MethodGet, "/readyz", nil)
		if err == nil && code == http.StatusOK {
			return a, time.Since(begun)
		}
		select {
		case <-ended:
			t.Fatalf("kube-apiserver has ended:\n%s", a.said(40))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(begun) > timeout {
			t.Fatalf("kube-apiserver is not ready:\n%s", a.said(40))
		}
	}
}

// said is the end of its log.
func (a *apiserver) said(lines int) string {
	text, _ := os.ReadFile(a.log)
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(len(all)-lines, 0):], "\n")
}

func (a *apiserver) request(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var data []byte
	if body != nil {
		data, _ = json.Marshal(body)
	}
	q, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	q.Header.Set("Authorization", "Bearer "+token)
	q.Header.Set("Content-Type", "application/json")
	return a.http.Do(q)
}

func (a *apiserver) ask(ctx context.Context, method, path string, body any) (code int, answer []byte, err error) {
	r, err := a.request(ctx, method, path, body)
	if err != nil {
		return 0, nil, err
	}
	defer r.Body.Close()
	answer, err = io.ReadAll(r.Body)
	return r.StatusCode, answer, err
}

// until repeats a request until it has one of the outcomes: what found no leader, or a timeout, is asked again, as controllers do.
func (a *apiserver) until(ctx context.Context, method, path string, body any, codes ...int) (again int) {
	for ; ; again++ {
		try, cancel := context.WithTimeout(ctx, 20*time.Second)
		code, answer, err := a.ask(try, method, path, body)
		cancel()
		if err == nil && slices.Contains(codes, code) {
			return again
		}
		if err == nil && code < 500 && code != http.StatusTooManyRequests {
			a.t.Errorf("%s %s: %d %s", method, path, code, answer)
			return again
		}
		if ctx.Err() != nil {
			a.t.Errorf("%s %s: %d %s %v", method, path, code, answer, err)
			return again
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Of objects, what is looked at.
type object struct {
	Metadata struct {
		Name            string `json:"name"`
		ResourceVersion string `json:"resourceVersion"`
		Continue        string `json:"continue"`
		Remaining       int    `json:"remainingItemCount"`
	} `json:"metadata"`
	Items []object `json:"items"`
}

const maps = "/api/v1/namespaces/default/configmaps"

// watch tells of events until ctx ends; a watch that ends by itself goes on behind its last event.
func (a *apiserver) watch(ctx context.Context, version string, take func(kind string, o object)) error {
	for ctx.Err() == nil {
		r, err := a.request(ctx, http.MethodGet, maps+"?watch=1&allowWatchBookmarks=true&labelSelector=of%3Dtest&resourceVersion="+version, nil)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(r.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e struct {
				Type   string          `json:"type"`
				Object json.RawMessage `json:"object"`
			}
			var o object
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				break // it was cut
			}
			if e.Type == "ERROR" {
				_ = r.Body.Close()
				return fmt.Errorf("the watch says %s", e.Object)
			}
			if err := json.Unmarshal(e.Object, &o); err != nil {
				return err
			}
			version = o.Metadata.ResourceVersion
			take(e.Type, o)
		}
		_ = r.Body.Close()
	}
	return nil
}

// TestSplit: kube-apiserver keeps events and leases in clusters of their own, with the flags in docs/performance.md.
func TestSplit(t *testing.T) {
	if !full {
		t.Skip("QKV_FULL is not set: building kube-apiserver takes minutes (make kube)")
	}
	path := built(t)
	main, all := start(t, 3)
	events, ofEvents := start(t, 3)
	leases, ofLeases := start(t, 3)
	a, _ := serve(t, path, main.Endpoints(), "--etcd-servers-overrides", fmt.Sprintf("/events#http://%s,coordination.k8s.io/leases#http://%s",
		strings.Join(events.Endpoints(), ";http://"), strings.Join(leases.Endpoints(), ";http://")))
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	a.until(ctx, http.MethodGet, "/api/v1/namespaces/default", nil, http.StatusOK)
	one := map[string]any{"name": "one", "namespace": "default"}
	a.until(ctx, http.MethodPost, "/api/v1/namespaces/default/configmaps", map[string]any{"metadata": one}, http.StatusCreated)
	a.until(ctx, http.MethodPost, "/api/v1/namespaces/default/events", map[string]any{"metadata": one, "involvedObject": one}, http.StatusCreated)
	a.until(ctx, http.MethodPost, "/apis/coordination.k8s.io/v1/namespaces/default/leases", map[string]any{"metadata": one}, http.StatusCreated)
	for key, at := range map[string]*clientv3.Client{
		"/registry/configmaps/default/one": all, "/registry/events/default/one": ofEvents, "/registry/leases/default/one": ofLeases,
	} {
		for _, c := range []*clientv3.Client{all, ofEvents, ofLeases} {
			found, err := c.Get(ctx, key)
			must(t, err)
			want(t, key, found.Count == 1, c == at)
		}
	}
}

// TestAPIServer: kube-apiserver is ready on three members; objects are created, listed in pages, watched and deleted while the
// leader is killed, and none is lost; its compactor has no error.
func TestAPIServer(t *testing.T) {
	if !full {
		t.Skip("QKV_FULL is not set: building kube-apiserver takes minutes (make kube)")
	}
	path := built(t)
	cluster, c := start(t, 3)
	a, took := serve(t, path, cluster.Endpoints())
	t.Logf("kube-apiserver 1.36.3 is ready on three members of %s after %v", *against, took.Round(10*time.Millisecond))
	ctx, cancel := context.WithTimeout(context.Background(), 2*timeout)
	defer cancel()
	a.until(ctx, http.MethodGet, "/api/v1/namespaces/default", nil, http.StatusOK)

	const objects = 1000
	var first object
	code, answer, err := a.ask(ctx, http.MethodGet, maps, nil)
	must(t, err)
	want(t, "a list", code, http.StatusOK)
	must(t, json.Unmarshal(answer, &first))
	var mu sync.Mutex
	added, deleted := map[string]int{}, map[string]int{}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan error, 1)
	go func() {
		watched <- a.watch(watching, first.Metadata.ResourceVersion, func(kind string, o object) {
			mu.Lock()
			defer mu.Unlock()
			switch kind {
			case "ADDED":
				added[o.Metadata.Name]++
			case "DELETED":
				deleted[o.Metadata.Name]++
			}
		})
	}()

	killLeader := func() {
		s, err := c.Status(ctx, cluster.Endpoints()[0])
		must(t, err)
		for i, endpoint := range cluster.Endpoints() {
			one, err := c.Status(ctx, endpoint)
			must(t, err)
			if one.Header.MemberId == s.Leader {
				cluster.Members[i].Kill()
				cluster.Members[i].Start()
				must(t, cluster.Members[i].Await())
				return
			}
		}
		t.Fatal("nobody leads")
	}
	each := func(do func(name string) int) (again int) {
		names := make(chan string)
		var workers sync.WaitGroup
		for range 10 {
			workers.Go(func() {
				for name := range names {
					n := do(name)
					mu.Lock()
					again += n
					mu.Unlock()
				}
			})
		}
		var killer sync.WaitGroup
		for i := range objects {
			if i == objects/3 {
				killer.Go(killLeader)
			}
			names <- fmt.Sprintf("thing-%04d", i)
		}
		close(names)
		workers.Wait()
		killer.Wait()
		return again
	}
	body := func(name string) any {
		return map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]string{"x": strings.Repeat("v", 500)},
			"metadata": map[string]any{"name": name, "labels": map[string]string{"of": "test"}},
		}
	}
	begun := time.Now()
	again := each(func(name string) int {
		return a.until(ctx, http.MethodPost, maps, body(name), http.StatusCreated, http.StatusConflict)
	})
	t.Logf("%d objects are created in %v while the leader is killed; %d requests were made again", objects, time.Since(begun).Round(time.Millisecond), again)

	listed := map[string]int{}
	for from, pages := "", 0; ; pages++ {
		var page object
		for {
			code, answer, err = a.ask(ctx, http.MethodGet, maps+"?labelSelector=of%3Dtest&limit=77&continue="+from, nil)
			if err == nil && code == http.StatusOK {
				break
			}
			if code == http.StatusGone { // its revision was compacted: from the beginning
				from, listed = "", map[string]int{}
			}
			must(t, ctx.Err())
		}
		must(t, json.Unmarshal(answer, &page))
		for _, one := range page.Items {
			listed[one.Metadata.Name]++
		}
		if from = page.Metadata.Continue; from == "" {
			t.Logf("listed in %d pages", pages+1)
			break
		}
	}
	want(t, "what is listed", len(listed), objects)

	begun = time.Now()
	again = each(func(name string) int {
		return a.until(ctx, http.MethodDelete, maps+"/"+name, nil, http.StatusOK, http.StatusNotFound)
	})
	t.Logf("%d objects are deleted in %v while the leader is killed; %d requests were made again", objects, time.Since(begun).Round(time.Millisecond), again)
	var rest object
	code, answer, err = a.ask(ctx, http.MethodGet, maps+"?labelSelector=of%3Dtest", nil)
	must(t, err)
	want(t, "a list", code, http.StatusOK)
	must(t, json.Unmarshal(answer, &rest))
	want(t, "what is left", len(rest.Items), 0)

	for {
		mu.Lock()
		a, d := len(added), len(deleted)
		mu.Unlock()
		if a == objects && d == objects {
			break
		}
		select {
		case err := <-watched:
			t.Fatalf("the watch has ended with %d added and %d deleted: %v", a, d, err)
		case <-ctx.Done():
			t.Fatalf("the watch has told of %d added and %d deleted objects", a, d)
		case <-time.After(20 * time.Millisecond):
		}
	}
	stop()
	<-watched
	for _, told := range []map[string]int{added, deleted} {
		for name, n := range told {
			want(t, "how often the watch has told of "+name, n, 1)
		}
	}

	// Three intervals of its compactor, with something written in each.
	r, err := c.Get(ctx, compactRevKey)
	must(t, err)
	for n := r.Kvs[0].Version + 3; r.Kvs[0].Version < n; {
		a.until(ctx, http.MethodPost, maps, body(fmt.Sprint("more-", time.Now().UnixNano())), http.StatusCreated)
		time.Sleep(100 * time.Millisecond)
		r, err = c.Get(ctx, compactRevKey)
		must(t, err)
	}
	text, err := os.ReadFile(a.log)
	must(t, err)
	ended := 0 // compactions on a connection to a leader that was killed, twice; the next interval makes up for one
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "compact.go") && strings.HasPrefix(line, "E") {
			if ended++; ended > 2 || !strings.Contains(line, "Unavailable desc = error reading from server: EOF") {
				t.Errorf("its compactor: %s", line)
			}
		}
		if strings.Contains(line, "PrevKv=nil") || strings.Contains(line, "RequestWatchProgress feature is not supported") {
			t.Error(line)
		}
	}
	h, err := c.HashKV(ctx, cluster.Endpoints()[0], 0)
	must(t, err)
	t.Logf("its compactor is at %s, time %d; the store at %d", r.Kvs[0].Value, r.Kvs[0].Version, (*pb.HashKVResponse)(h).Header.Revision)
}
