package cli

import (
	"context"
	"strings"
	"testing"
)

// A variable of qkv that no flag has is refused by its name, with the one that was meant.
func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		environment string // words
		want        string // empty: all are right
	}{
		{"HOME=/root QKV_ENDPOINTS=a:1 QKV_GET_PREFIX=1 QKVX=1 qkv_lower=1", ""},
		{"QKV_INTIAL_CLUSTER=n1=a:1", "unknown variable QKV_INTIAL_CLUSTER, did you mean QKV_INITIAL_CLUSTER?; `qkv COMMAND --help` names each flag's variable, `unset QKV_INTIAL_CLUSTER`"},
		{"QKV_INTIAL_CLUSTER=", "unknown variable QKV_INTIAL_CLUSTER, did"},
		{"QKV_XYZ=1 QKV_ENDPOINT=a:1", "unknown variable QKV_ENDPOINT, did you mean QKV_ENDPOINTS?; unknown variable QKV_XYZ; `qkv COMMAND --help` names each flag's variable, `unset QKV_ENDPOINT QKV_XYZ`"},
		{"QKV_LIMIT=1", "unknown variable QKV_LIMIT, did you mean QKV_GET_LIMIT or QKV_WATCH_LIMIT?; "},
		{"QKV_PREFIX=1", "unknown variable QKV_PREFIX, did you mean QKV_AUTH_CHECK_PREFIX or QKV_DEL_PREFIX or QKV_EXPORT_PREFIX or QKV_GET_PREFIX or QKV_IMPORT_PREFIX or QKV_ROLE_ADD_PREFIX or QKV_ROLE_GRANT_PREFIX or QKV_ROLE_REVOKE_PREFIX or QKV_WATCH_PREFIX?; "},
		// A Kubernetes service called qkv, and one called qkv-client, in the pod's namespace.
		{"QKV_SERVICE_HOST=10.0.0.1 QKV_SERVICE_PORT=2379 QKV_SERVICE_PORT_CLIENTS=2379 QKV_PORT=udp://10.0.0.1:2379 QKV_PORT_2379_UDP=udp://10.0.0.1:2379", ""},
		{"QKV_PORT_2379_UDP_ADDR=10.0.0.1 QKV_CLIENT_SERVICE_HOST=10.0.0.1 QKV_CLIENT_PORT_2379_UDP_PROTO=udp QKV_CLIENT_PORT=udp://10.0.0.1:2379", ""},
		{"QKV_FULL=1 QKV_TEST_OWN_NETWORK=1", ""},
	} {
		err := checkEnvironment(newApp(), strings.Fields(tt.environment))
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want) || exitCode(err) != exitUsage):
			t.Errorf("%s: %v", tt.environment, err)
		}
	}
}

// An endpoint that nobody gave is not the one that etcdctl was told.
func TestEtcdctlsEndpoints(t *testing.T) {
	for variable, want := range map[string]bool{"": false, "http://10.0.0.1:2379": true} {
		t.Setenv("ETCDCTL_ENDPOINTS", variable)
		if said := (target{source: sourceDefault}).advice(context.DeadlineExceeded); strings.Contains(said, "ETCDCTL_ENDPOINTS is etcdctl's") != want {
			t.Errorf("with %q: %s", variable, said)
		}
		if said := (target{source: "home/endpoints"}).advice(context.DeadlineExceeded); strings.Contains(said, "ETCDCTL") {
			t.Errorf("with endpoints of its own: %s", said)
		}
	}
}
