package etcd_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/net/etcd"
)

// post sends JSON to a path of the gateway.
func post(t testing.TB, s *etcd.Server, path, body string) (int, string) {
	t.Helper()
	r, err := http.Post("http://"+s.Addr().String()+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	all, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, strings.Join(strings.Fields(string(all)), "") // protojson puts spaces in at random
}

// TestGatewayDialsNothing: CVE-2020-15114, CVE-2020-15136. The gateway calls the handlers of its own process. No request goes on to an address,
// so none comes back in a circle, and no other server's certificate needs a check.
func TestGatewayDialsNothing(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, dial := range []string{"grpc.NewClient(", "grpc.Dial", "net.Dial", "tls.Dial", "http.Client{", "ReverseProxy"} {
			if !strings.HasSuffix(name, "_test.go") && strings.Contains(string(text), dial) {
				t.Errorf("%s has %s", name, dial)
			}
		}
	}
}

// TestGateway asks for something of each kind, right and wrong, and gets etcd's JSON and status codes.
func TestGateway(t *testing.T) {
	s := start(t, newMember(), nil)
	header := func(revision int) string {
		return fmt.Sprintf(`"header":{"cluster_id":"12","member_id":"1","revision":"%d","raft_term":"7"}`, revision)
	}
	for _, c := range []struct{ path, body, want string }{
		{"/v3/kv/put", `{"key":"YQ==","value":"Yg=="}`, `200 {` + header(2) + `}`},
		{"/v3beta/kv/range", `{"key":"YQ=="}`, `200 {` + header(2) + `,"kvs":[{"key":"YQ==","create_revision":"2","mod_revision":"2","version":"1","value":"Yg=="}],"count":"1"}`},
		{"/v3/kv/range", `{"key":"YQ==","range_end":"eg==","limit":"1","serializable":true,"unknown":1}`, `200 {` + header(2) + `,"kvs":[{"key":"YQ==","create_revision":"2","mod_revision":"2","version":"1","value":"Yg=="}],"count":"1"}`},
		{"/v3/kv/range", `{"key":"YQ==","revision":"9"}`, `400 {"code":11,"message":"etcdserver:mvcc:requiredrevisionisafuturerevision"}`},
		{"/v3/kv/put", `{}`, `400 {"code":3,"message":"etcdserver:keyisnotprovided"}`},
		{"/v3/kv/put", `{"key":"YQ=="`, `400 {"code":3,"message":"unexpectedEOF"}`},
		{"/v3/kv/put", ``, `400 {"code":3,"message":"etcdserver:keyisnotprovided"}`},
		{"/v3/kv/txn", `{"compare":[{"key":"YQ==","target":"VERSION","result":"EQUAL","version":"1"}],"success":[{"request_delete_range":{"key":"YQ=="}}]}`, `200 {` + header(3) + `,"succeeded":true,"responses":[{"response_delete_range":{"header":{"revision":"3"},"deleted":"1"}}]}`},
		{"/v3/kv/deleterange", `{"key":"YQ=="}`, `200 {` + header(3) + `}`},
		{"/v3/kv/compaction", `{"revision":"3"}`, `200 {` + header(3) + `}`},
		{"/v3/kv/compaction", `{"revision":"2"}`, `400 {"code":11,"message":"etcdserver:mvcc:requiredrevisionhasbeencompacted"}`},
		{"/v3/lease/grant", `{"TTL":"60","ID":"5"}`, `200 {` + header(3) + `,"ID":"5","TTL":"60"}`},
		{"/v3/lease/grant", `{"TTL":"30","ID":"9"}`, `200 {` + header(3) + `,"ID":"9","TTL":"30"}`},
		{"/v3/lease/grant", `{"TTL":"60","ID":"1"}`, `200 {` + header(3) + `,"ID":"1","TTL":"60"}`},
		{"/v3/lease/leases", `{}`, `200 {` + header(3) + `,"leases":[{"ID":"9"},{"ID":"5"},{"ID":"1"}]}`},
		{"/v3/lease/revoke", `{"ID":"9"}`, `200 {` + header(3) + `}`},
		{"/v3/lease/revoke", `{"ID":"1"}`, `200 {` + header(3) + `}`},
		{"/v3/lease/leases", `{}`, `200 {` + header(3) + `,"leases":[{"ID":"5"}]}`},
		{"/v3/lease/keepalive", `{"ID":"5"}`, `200 {"result":{` + header(3) + `,"ID":"5","TTL":"60"}}`},
		{"/v3/kv/lease/revoke", `{"ID":"5"}`, `200 {` + header(3) + `}`},
		{"/v3/lease/revoke", `{"ID":"5"}`, `404 {"code":5,"message":"etcdserver:requestedleasenotfound"}`},
		{"/v3/maintenance/alarm", `{"action":"GET"}`, `200 {` + header(3) + `}`},
		{"/v3/auth/status", `{}`, `200 {` + header(3) + `,"authRevision":"1"}`},
		{"/v3/auth/authenticate", `{"name":"a"}`, `400 {"code":9,"message":"etcdserver:authenticationisnotenabled"}`},
		{"/v3/auth/disable", `{}`, `200 {` + header(3) + `}`},
		{"/v3/auth/user/add", `{"name":"a"}`, `200 {` + header(3) + `}`},
		{"/v3/auth/user/add", `{"name":"a"}`, `400 {"code":9,"message":"etcdserver:usernamealreadyexists"}`},
		{"/v3/auth/user/list", `{}`, `200 {` + header(3) + `,"users":["a"]}`},
		{"/v3/kv/nothing", `{}`, `404 {"code":5,"message":"NotFound"}`},
	} {
		if code, body := post(t, s, c.path, c.body); fmt.Sprint(code, " ", body) != c.want {
			t.Errorf("%s %s:\n%d %s, want\n%s", c.path, c.body, code, body, c.want)
		}
	}
	if code, body := get(t, s, "/v3/kv/range"); code != http.StatusNotImplemented || !strings.Contains(body, "Method Not Allowed") {
		t.Errorf("GET: %d %s", code, body)
	}
}

// TestGatewayWatch watches with a request that is over and one that goes on, and gets a line of JSON for each message, as it
// happens; a client that goes away is forgotten.
func TestGatewayWatch(t *testing.T) {
	s := start(t, newMember(), nil)
	in, more := io.Pipe()
	for name, body := range map[string]io.Reader{
		"over":    strings.NewReader(`{"create_request":{"key":"YQ==","prev_kv":true}}`),
		"goes on": io.MultiReader(strings.NewReader(`{"create_request":{"key":"YQ==","prev_kv":true}}`+"\n"), in),
	} {
		r, err := http.Post("http://"+s.Addr().String()+"/v3/watch", "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(r.Body)
		next := func(want string) {
			t.Helper()
			if !lines.Scan() {
				t.Fatalf("%s: the stream has ended: %v", name, lines.Err())
			}
			if got := strings.ReplaceAll(lines.Text(), " ", ""); !strings.Contains(got, want) {
				t.Fatalf("%s: %s, want %s", name, got, want)
			}
		}
		next(`"created":true`)
		for i := range 3 {
			if code, body := post(t, s, "/v3/kv/put", fmt.Sprintf(`{"key":"YQ==","value":"%s"}`, base64.StdEncoding.EncodeToString([]byte{byte(i)}))); code != 200 {
				t.Fatal(body)
			}
			next(fmt.Sprintf(`"value":"%s"`, base64.StdEncoding.EncodeToString([]byte{byte(i)})))
		}
		if name == "goes on" {
			_, _ = io.WriteString(more, `{"cancel_request":{"watch_id":"0"}}`)
			next(`"canceled":true`)
		}
		_ = r.Body.Close()
		for deadline := time.Now().Add(20 * time.Second); s.Stats().Watches > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the watch is not forgotten")
			}
		}
	}
	_ = more.Close()
}

// TestGatewayLocks waits for a lock, and for an election, over HTTP for longer than a body may take to come: the answers come when the
// lock and the election are free. A client that goes away leaves the line.
func TestGatewayLocks(t *testing.T) {
	m := newMember()
	s := start(t, m, func(c *etcd.Config) { c.Limits.Web = time.Second })
	grant := func(id string) {
		t.Helper()
		if code, body := post(t, s, "/v3/lease/grant", `{"TTL":"60","ID":"`+id+`"}`); code != 200 {
			t.Fatal(body)
		}
	}
	grant("31")
	grant("32")
	if code, body := post(t, s, "/v3/lock/lock", `{"name":"bA==","lease":"31"}`); code != 200 || !strings.Contains(body, `"key":"bC8xZg=="`) {
		t.Fatal(code, body)
	}
	code, campaign := post(t, s, "/v3/election/campaign", `{"name":"ZQ==","lease":"31","value":"YQ=="}`)
	if code != 200 || !strings.Contains(campaign, `"leader":{"name":"ZQ==","key":"ZS8xZg==","rev":`) {
		t.Fatal(code, campaign)
	}
	_, leader, _ := strings.Cut(strings.TrimSuffix(campaign, "}"), `"leader":`)
	for _, c := range []struct{ wait, body, end, release, want string }{
		{"/v3/lock/lock", `{"name":"bA==","lease":"32"}`, "/v3/lock/unlock", `{"key":"bC8xZg=="}`, `"key":"bC8yMA=="`},
		{"/v3/election/campaign", `{"name":"ZQ==","lease":"32","value":"Yg=="}`, "/v3/election/resign", `{"leader":` + leader + `}`, `"key":"ZS8yMA=="`},
	} {
		before := m.Watches()
		ctx, cancel := context.WithCancel(t.Context())
		gone, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Addr().String()+c.wait, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if r, err := http.DefaultClient.Do(gone); err == nil {
				_ = r.Body.Close()
			}
		}()
		eventually(t, func() bool { return m.Watches() > before })
		cancel()
		<-ended
		eventually(t, func() bool { return m.Watches() == before })
		answer := make(chan string, 1)
		go func() {
			r, err := http.Post("http://"+s.Addr().String()+c.wait, "application/json", strings.NewReader(c.body))
			if err != nil {
				answer <- err.Error()
				return
			}
			defer r.Body.Close()
			all, err := io.ReadAll(r.Body)
			answer <- fmt.Sprint(r.StatusCode, " ", strings.ReplaceAll(string(all), " ", ""), err)
		}()
		eventually(t, func() bool { return m.Watches() > before })
		time.Sleep(1500 * time.Millisecond) // longer than a body may take
		if code, body := post(t, s, c.end, c.release); code != 200 {
			t.Fatal(body)
		}
		if got := <-answer; !strings.HasPrefix(got, "200 ") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.wait, got, c.want)
		}
	}
	if code, body := post(t, s, "/v3/election/leader", `{"name":"ZQ=="}`); code != 200 || !strings.Contains(body, `"kv":{"key":"ZS8yMA=="`) {
		t.Errorf("the leader: %d %s", code, body)
	}
}

// TestGatewayHostile: pages in browsers are refused, what is too large is, in one request and in a stream of them, and what
// nests too deep.
func TestGatewayHostile(t *testing.T) {
	s := start(t, newMember(), nil)
	for _, name := range []string{"Origin", "Sec-Fetch-Site"} {
		q, err := http.NewRequest(http.MethodPost, "http://"+s.Addr().String()+"/v3/kv/put", strings.NewReader(`{"key":"YQ=="}`))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "text/plain")
		q.Header.Set(name, "http://example.org")
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != http.StatusForbidden || r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("a page with %s: %s", name, r.Status)
		}
	}
	most := limits.RequestBytesWritten
	value := base64.StdEncoding.EncodeToString(make([]byte, most))
	if code, body := post(t, s, "/v3/kv/put", `{"key":"YQ==","value":"`+value+`"}`); code != 400 || body != `{"code":3,"message":"etcdserver:requestistoolarge"}` {
		t.Errorf("a value of %d bytes: %d %s", most, code, body)
	}
	endless := &zeros{most: 1 << 30}
	r, err := http.Post("http://"+s.Addr().String()+"/v3/kv/put", "application/json", io.MultiReader(strings.NewReader(`{"value":"`), endless))
	if err == nil {
		_ = r.Body.Close()
		if r.StatusCode != http.StatusBadRequest {
			t.Errorf("an endless request: %s", r.Status)
		}
	}
	if n := endless.read.Load(); n > 1<<29 {
		t.Errorf("of an endless request %d bytes were read", n)
	}
	r, err = http.Post("http://"+s.Addr().String()+"/v3/lease/keepalive", "application/json", io.MultiReader(strings.NewReader(`{"x":"`), &zeros{most: 1 << 30}))
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Logf("an endless message of a stream: %v", err)
	}
	deep := strings.Repeat(`{"success":[{"request_txn":`, 20000) + "{}" + strings.Repeat(`}]}`, 20000)
	if code, body := post(t, s, "/v3/kv/txn", deep); code != 400 {
		t.Errorf("20,000 transactions in each other: %d %.100s", code, body)
	}
	if code, body := post(t, s, "/v3/kv/range", `{"key":"YQ=="}`); code != 200 {
		t.Errorf("afterwards: %d %s", code, body)
	}
}

// zeros are characters 0, nearly without end.
type zeros struct {
	most int64
	read atomic.Int64
}

func (z *zeros) Read(b []byte) (int, error) {
	if z.read.Add(int64(len(b))) > z.most {
		return 0, io.EOF
	}
	for i := range b {
		b[i] = '0'
	}
	return len(b), nil
}

// TestGatewayRoom has clients that begin requests and leave them, and others that ask for much and read nothing. What all requests
// over HTTP may use is bounded, and one that has a message to send, or takes its answer, gets it as soon as those were closed that
// stand still.
func TestGatewayRoom(t *testing.T) {
	testlong.Skip(t)
	testretry.Longer(t, 200*time.Millisecond, gatewayRoom) // on a busy host one that moves stands still for a moment, too
}

func gatewayRoom(t testing.TB, stall time.Duration) {
	const web = 4 * limits.EtcdWebTimeout // 40 answers of 4 MiB take longer under the race detector
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.GatewayBytes, c.Limits.Stall, c.Limits.Web = 1, stall, web })
	most := int64(limits.EtcdGatewayBytes * limits.EtcdGatewayTimes) // what it is at least
	value := base64.StdEncoding.EncodeToString(make([]byte, 1<<20))
	put := func(key string) {
		t.Helper()
		if code, body := post(t, s, "/v3/kv/put", fmt.Sprintf(`{"key":%q,"value":%q}`, key, value)); code != 200 {
			t.Errorf("a large put: %d %s", code, body)
		}
	}
	for i := range 4 {
		put(base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "big/%d", i)))
	}
	ask := `{"key":"YmlnLw==","range_end":"YmlnMA=="}`
	for name, first := range map[string]string{
		"half a body":       "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n{" + strings.Repeat(" ", 0x7fff) + "\r\n",
		"half a message":    "POST /v3/watch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n{" + strings.Repeat(" ", 0x7fff) + "\r\n",
		"an answer to take": fmt.Sprintf("POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(ask), ask),
	} {
		var hostile []net.Conn
		for range 40 {
			hostile = append(hostile, raw(t, s, first))
		}
		eventually(t, func() bool { return s.Stats().GatewayBytes > 0 })
		done := make(chan struct{})
		go func() {
			defer close(done)
			put("YQ==")
			if code, _ := post(t, s, "/v3/kv/range", ask); code != 200 {
				t.Errorf("%s: a range that is read: %d", name, code)
			}
		}()
		limit := time.Now().Add(web * 2 / 3) // behind that, all that stand still would be closed at any rate
		late := false
		for over := false; !over; {
			if !late && time.Now().After(limit) {
				late = true
				t.Errorf("%s: others wait for ever", name)
				for _, c := range hostile {
					_ = c.Close()
				}
			}
			select {
			case <-done:
				over = true
			case <-time.After(time.Millisecond):
			}
			if n := s.Stats().GatewayBytes; n > most {
				t.Fatalf("%s: requests use %d bytes, of %d", name, n, most)
			}
		}
		for _, c := range hostile {
			_ = c.Close()
		}
		eventually(t, func() bool { return s.Stats().GatewayBytes == 0 })
	}
}

// TestGatewayMessages sends bodies, and then messages of a stream, at the bounds of what is taken. The last ends its connection.
func TestGatewayMessages(t *testing.T) {
	s := start(t, newMember(), nil)
	watch := func(bytes, messages int) (said string) {
		body := strings.Repeat(`{"create_request":{"key":"YQ=="}`+strings.Repeat(" ", bytes)+`}`, messages)
		r, err := http.Post("http://"+s.Addr().String()+"/v3/watch", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		for lines := bufio.NewReader(r.Body); messages > 0; messages-- {
			line, err := lines.ReadString('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			said += line
		}
		return said
	}
	for _, bytes := range []int{etcd.EtcdGatewaySmall - 1, etcd.EtcdGatewaySmall, etcd.EtcdGatewaySmall + 1, 1 << 20} {
		body := `{"key":"YQ=="`
		body += strings.Repeat(" ", bytes-len(body)-1) + "}"
		if code, said := post(t, s, "/v3/kv/put", body); code != 200 {
			t.Errorf("%d bytes: %d %s", bytes, code, said)
		}
	}
	if said := watch(etcd.EtcdGatewaySmall+1, 1); !strings.Contains(said, `"created":true`) {
		t.Errorf("a message that is not small: %.200s", said)
	}
	if said := watch(etcd.EtcdGatewayStreamed/2, 5); strings.Count(said, `"created":true`) != 5 {
		t.Errorf("five messages of half the limit: %.500s", said)
	}
	if said := watch(etcd.EtcdGatewayStreamed, 1); strings.Contains(said, `"created":true`) {
		t.Errorf("a message over the limit: %.200s", said)
	}
	eventually(t, func() bool { return s.Stats().GatewayBytes == 0 })
}

// TestGatewayStreamOfManyMessages: what one message may have is counted anew for each of a stream.
func TestGatewayStreamOfManyMessages(t *testing.T) {
	s := start(t, newMember(), nil)
	const messages = etcd.EtcdGatewayObjects + 100
	code, said := post(t, s, "/v3/lease/keepalive", strings.Repeat(`{"ID":5}`, messages))
	if got := strings.Count(said, `"ID":"5"`); code != 200 || got != messages {
		t.Errorf("of %d keep-alives %d were answered: %d, in the end %s", messages, got, code, said[max(0, len(said)-200):])
	}
}

// TestGatewayObjects: a transaction of many objects that have hardly a byte is not decoded, and one that has as many short operations as
// it may is.
func TestGatewayObjects(t *testing.T) {
	s := start(t, newMember(), nil)
	var before, after runtime.MemStats
	flat := `{"success":[` + strings.Repeat("{},", 450_000) + `{}]}`
	runtime.ReadMemStats(&before)
	code, said := post(t, s, "/v3/kv/txn", flat)
	runtime.ReadMemStats(&after)
	if code != 400 || !strings.Contains(said, "toomanyoperationsintxnrequest") {
		t.Errorf("of empty operations: %d %s", code, said)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 16*uint64(len(flat)) {
		t.Errorf("a body of %d bytes took %d", len(flat), took)
	}
	short := strings.TrimSuffix(strings.Repeat(`{"request_range":{"key":"YQ=="}},`, limits.TxnOperations), ",")
	if code, said := post(t, s, "/v3/kv/txn", `{"compare":[],"success":[`+short+`],"failure":[`+short+`]}`); code != 200 {
		t.Errorf("of short operations: %d %s", code, said)
	}
}
