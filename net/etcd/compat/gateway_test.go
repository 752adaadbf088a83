package compat

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"qkv/net/etcd/compat/member"
)

// gatewayRequests go to both servers' JSON gateways, one after the other.
// Not sent: an alarm of a member that is none, which qkv refuses, and an unknown action on alarms, at which etcd 3.7.3 dies; what needs users (qkv says Unimplemented), and
// what tells of the process, as status does.
var gatewayRequests = []struct{ path, body string }{
	{"kv/put", `{"key":"YQ==","value":"Yg=="}`},
	{"kv/put", `{"key":"YWI=","value":"Yg==","prev_kv":true}`},
	{"kv/put", `{"key":"YQ==","value":"Yw==","prev_kv":true}`},
	{"kv/put", `{"key":"YQ==","ignore_value":true,"value":"Yw=="}`},
	{"kv/put", `{"key":"bm9uZQ==","ignore_value":true}`},
	{"kv/put", `{"key":"YQ==","lease":"77"}`},
	{"kv/put", `{"key":"YQ==","lease":77}`},
	{"kv/put", `{}`},
	{"kv/put", ``},
	{"kv/put", `null`},
	{"kv/put", `[]`},
	{"kv/put", `"a"`},
	{"kv/put", `{"key":5}`},
	{"kv/put", `{"key":"%%%"}`},
	{"kv/put", `{"key":"YQ","value":"_-8="}`},
	{"kv/put", `{"KEY":"YQ==","nothing":{"a":[1]}}`},
	{"kv/put", `{"key":"YQ==","key":"Yg=="}`},
	{"kv/put", `{"key":"YQ=="} {"key":"Yg=="}`},
	{"kv/put", `{"key":"YQ==","lease":"x"}`},
	{"kv/put", `{"key":"YQ==","lease":1e30}`},
	{"kv/put", `{"key":"YQ==","prevKv":true}`},
	{"kv/put", `{"key":"YQ==",`},
	{"kv/put", "\xff\xfe"},
	{"kv/put", `{"key":"\ud800"}`},
	{"kv/range", `{"key":"YQ=="}`},
	{"kv/range", `{"key":"YQ==","range_end":"eg=="}`},
	{"kv/range", `{"key":"YQ==","range_end":"eg==","limit":"1"}`},
	{"kv/range", `{"key":"YQ==","range_end":"eg==","limit":-1}`},
	{"kv/range", `{"key":"AA==","range_end":"AA==","keys_only":true}`},
	{"kv/range", `{"key":"AA==","range_end":"AA==","count_only":true}`},
	{"kv/range", `{"key":"YQ==","revision":"1000"}`},
	{"kv/range", `{"key":"YQ==","revision":"-5"}`},
	{"kv/range", `{"key":"YQ==","serializable":true}`},
	{"kv/range", `{"key":"YQ==","range_end":"eg==","sort_order":"DESCEND","sort_target":"KEY"}`},
	{"kv/range", `{"key":"YQ==","range_end":"eg==","sort_order":2,"sort_target":0}`},
	{"kv/range", `{"key":"YQ==","range_end":"eg==","sort_order":"SIDEWAYS"}`},
	{"kv/range", `{"key":"YQ==","range_end":"eg==","sort_order":9}`},
	{"kv/range", `{"key":"YQ==","range_end":"eg==","sort_target":9}`},
	{"kv/range", `{"key":"YQ==","range_end":"eg==","sort_order":-1,"sort_target":"MOD"}`},
	{"kv/range", `{"key":"YQ==","range_end":"eg==","sort_order":1,"sort_target":-3}`},
	{"kv/range", `{"key":"YQ==","range_end":"eg==","min_mod_revision":"3","max_create_revision":"9"}`},
	{"kv/range", `{}`},
	{"kv/deleterange", `{"key":"YWI=","prev_kv":true}`},
	{"kv/deleterange", `{"key":"YWI="}`},
	{"kv/deleterange", `{}`},
	{"kv/txn", `{"compare":[{"target":"CREATE","key":"YQ==","createRevision":"2","result":"EQUAL"}],"success":[{"requestPut":{"key":"YQ==","value":"eA=="}},{"requestRange":{"key":"YQ=="}}],"failure":[]}`},
	{"kv/txn", `{"compare":[{"target":9,"key":"YQ=="}]}`},
	{"kv/txn", `{"compare":[{"target":"MOD","result":9,"key":"YQ=="}],"success":[{"request_put":{"key":"eA=="}}]}`},
	{"kv/txn", `{"success":[{"request_put":{"key":"YQ=="}},{"request_put":{"key":"YQ=="}}]}`},
	{"kv/txn", `{"success":[{}]}`},
	{"kv/txn", `{}`},
	{"kv/txn", `{"success":[{"request_txn":{"success":[{"request_delete_range":{"key":"YQ==","prev_kv":true}}]}}]}`},
	{"kv/compaction", `{"revision":"4"}`},
	{"kv/compaction", `{"revision":"4"}`},
	{"kv/compaction", `{"revision":"1000"}`},
	{"kv/range", `{"key":"YQ==","revision":"2"}`},
	{"lease/grant", `{"TTL":"600","ID":"12345"}`},
	{"lease/grant", `{"TTL":"600","ID":12345}`},
	{"lease/grant", `{"ID":"9"}`},
	{"lease/grant", `{"TTL":"9000000001"}`},
	{"kv/put", `{"key":"bA==","lease":"12345"}`},
	{"lease/timetolive", `{"ID":"12346","keys":true}`},
	{"kv/lease/timetolive", `{"ID":"1"}`},
	{"lease/leases", `{}`},
	{"kv/lease/leases", ``},
	{"lease/keepalive", `{"ID":"12345"}`},
	{"lease/keepalive", `{"ID":"1"}`},
	{"lease/keepalive", ``},
	{"lock/lock", `{"name":"bG9jaw==","lease":"12345"}`},
	{"lock/lock", `{"name":"bG9jaw==","lease":"12345"}`},
	{"lock/lock", `{"name":"bG9jaw==","lease":"77"}`},
	{"lock/lock", `{"name":5}`},
	{"lock/unlock", `{"key":"bG9jay8zMDM5"}`}, // lock/3039, the lease in hexadecimal
	{"lock/unlock", `{"key":"bG9jay8zMDM5"}`},
	{"lock/unlock", `{}`},
	{"election/leader", `{"name":"ZWxlY3Rpb24="}`},
	{"election/campaign", `{"name":"ZWxlY3Rpb24=","lease":"12345","value":"YQ=="}`},
	{"election/leader", `{"name":"ZWxlY3Rpb24="}`},
	{"election/campaign", `{"name":"ZWxlY3Rpb24=","lease":"12345","value":"Yg=="}`},
	{"election/proclaim", `{"value":"Yw=="}`},
	{"election/proclaim", `{"leader":{"name":"ZWxlY3Rpb24=","key":"ZWxlY3Rpb24vMzAzOQ==","rev":"1","lease":"12345"},"value":"Yw=="}`},
	{"election/resign", `{}`},
	{"election/resign", `{"leader":{"name":"ZWxlY3Rpb24=","key":"ZWxlY3Rpb24vMzAzOQ==","rev":"1","lease":"12345"}}`},
	{"election/leader", `{}`},
	{"election/nothing", `{}`},
	{"lease/revoke", `{"ID":"12345"}`},
	{"kv/lease/revoke", `{"ID":"12345"}`},
	{"kv/range", `{"key":"bA=="}`},
	{"maintenance/alarm", `{}`},
	{"maintenance/alarm", `{"alarm":"NOSPACE"}`},
	{"maintenance/hashkv", `{}`},
	{"maintenance/hashkv", `{"revision":"1000"}`},
	{"maintenance/defragment", `{}`},
	{"maintenance/downgrade", `{"action":"VALIDATE","version":"3.6"}`},
	{"maintenance/downgrade", `{"action":"VALIDATE","version":"x"}`},
	{"maintenance/downgrade", `{"action":9,"version":"3.6"}`},
	{"maintenance/transfer-leadership", `{"targetID":"1"}`},
	{"cluster/member/remove", `{"ID":"1"}`},
	{"cluster/member/add", `{}`},
	{"cluster/member/add", `{"peerURLs":["x"]}`},
	{"cluster/member/promote", `{"ID":"5"}`},
	{"cluster/member/update", `{"ID":"5","peerURLs":["http://127.0.0.1:1"]}`},
	{"auth/status", `{}`},
	{"auth/authenticate", `{"name":"a","password":"b"}`},
	{"nothing", `{}`},
	{"kv", `{}`},
	{"kv/range/", `{}`},
	{"", ``},
}

var sayWho = regexp.MustCompile(`"(cluster_id|member_id|raft_term|memberID)":"\d+"`)

// TestGateway sends the same requests to both JSON gateways: status, type and body of the answers are equal, and so is what comes on a
// watch.
func TestGateway(t *testing.T) {
	sides := map[string]string{}
	for _, program := range []string{"etcd", "qkv"} {
		c := member.Start(t, program, 1)
		t.Cleanup(c.Stop)
		sides[program] = "http://" + strings.TrimPrefix(c.Endpoints()[0], "http://") + "/v3/"
	}
	watches := map[string]*bufio.Scanner{}
	for name, at := range sides {
		r, err := http.Post(at+"watch", "application/json", strings.NewReader(`{"create_request":{"key":"AA==","range_end":"AA==","prev_kv":true}}`))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Body.Close() })
		watches[name] = bufio.NewScanner(r.Body)
	}
	for i, q := range gatewayRequests {
		answers := map[string]string{}
		for name, at := range sides {
			r, err := http.Post(at+q.path, "application/json", strings.NewReader(q.body))
			if err != nil {
				t.Fatalf("%s %s %s: %v", name, q.path, q.body, err)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatalf("%s %s %s: %v", name, q.path, q.body, err)
			}
			_ = r.Body.Close()
			answers[name] = fmt.Sprintf("%d %s %s %s", r.StatusCode, r.Header.Get("Content-Type"), r.Header.Get("Grpc-Metadata-Content-Type"), plain(body))
		}
		if answers["etcd"] != answers["qkv"] {
			t.Errorf("request %d, %s %s:\netcd %s\nqkv  %s", i, q.path, q.body, answers["etcd"], answers["qkv"])
		}
	}
	observed(t, sides)
	waiting := map[string][]string{}
	for {
		for name, w := range watches {
			for len(waiting[name]) == 0 {
				if !w.Scan() {
					t.Fatalf("%s: the watch has ended: %v", name, w.Err())
				}
				waiting[name] = watched(t, w.Bytes())
			}
		}
		etcd, qkv := waiting["etcd"][0], waiting["qkv"][0]
		if etcd != qkv {
			t.Fatalf("on the watch:\netcd %s\nqkv  %s", etcd, qkv)
		}
		if strings.Contains(etcd, `"type":"DELETE"`) && strings.Contains(etcd, `"key":"bA=="`) { // the lease's
			return
		}
		waiting["etcd"], waiting["qkv"] = waiting["etcd"][1:], waiting["qkv"][1:]
	}
}

// watched returns the events of a line of a watch, or the line if it has none. A watch that lags gets the events of several revisions in
// one line, from both programs, so that lines cannot be compared.
func watched(t *testing.T, line []byte) (all []string) {
	t.Helper()
	var answer struct {
		Result struct{ Events []json.RawMessage }
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	for _, e := range answer.Result.Events {
		all = append(all, plain(e))
	}
	if len(all) == 0 {
		all = []string{plain(line)}
	}
	return all
}

// observed elects a leader by both gateways, lets it proclaim something and resign, by the leader that the gateway has told, and
// compares what an observer is told.
func observed(t *testing.T, sides map[string]string) {
	t.Helper()
	told := map[string][]string{}
	for name, at := range sides {
		ask := func(path, body string) []byte {
			t.Helper()
			r, err := http.Post(at+path, "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			all, err := io.ReadAll(r.Body)
			if err != nil || r.StatusCode != http.StatusOK {
				t.Fatalf("%s %s %s: %s %s %v", name, path, body, r.Status, all, err)
			}
			told[name] = append(told[name], plain(all))
			return all
		}
		ask("lease/grant", `{"TTL":"600","ID":"4242"}`)
		var answer struct{ Leader json.RawMessage }
		if err := json.Unmarshal(ask("election/campaign", `{"name":"b2JzZXJ2ZWQ=","lease":"4242","value":"YQ=="}`), &answer); err != nil {
			t.Fatal(err)
		}
		r, err := http.Post(at+"election/observe", "application/json", strings.NewReader(`{"name":"b2JzZXJ2ZWQ="}`))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(r.Body)
		next := func() {
			t.Helper()
			if !lines.Scan() {
				t.Fatalf("%s: the observer's stream has ended: %v", name, lines.Err())
			}
			told[name] = append(told[name], plain(lines.Bytes()))
		}
		next()
		ask("election/proclaim", fmt.Sprintf(`{"leader":%s,"value":"Yg=="}`, answer.Leader))
		next()
		ask("election/resign", fmt.Sprintf(`{"leader":%s}`, answer.Leader))
		ask("election/campaign", `{"name":"b2JzZXJ2ZWQ=","lease":"4242","value":"Yw=="}`)
		next()
		_ = r.Body.Close()
		ask("lease/revoke", `{"ID":"4242"}`)
	}
	if !slices.Equal(told["etcd"], told["qkv"]) {
		t.Errorf("of an election:\netcd %s\nqkv  %s", strings.Join(told["etcd"], "\n     "), strings.Join(told["qkv"], "\n     "))
	}
}

// plain is JSON without the spaces that the library puts in at random, and without ids.
func plain(body []byte) string {
	var b bytes.Buffer
	body = bytes.ReplaceAll(body, []byte("\u00a0"), []byte(" ")) // which protobuf puts into its errors at random
	if json.Compact(&b, body) != nil {
		return string(body)
	}
	return sayWho.ReplaceAllString(b.String(), `"$1":"N"`)
}
