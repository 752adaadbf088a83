package cli

import (
	"bytes"
	"strings"
	"testing"

	"qkv/cli/form"
)

// A variable one edit away from a flag's is refused with the name that was meant. Any other unknown variable is a warning.
func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		environment   string // words
		warning, fail string // beginnings; empty: there is none
	}{
		{"HOME=/root QKV_ENDPOINTS=a:1 QKV_HISTORY_AGE=1h QKVX=1 qkv_lower=1", "", ""},
		{"QKV_INTIAL_CLUSTER=n1=a:1", "", "unknown variable QKV_INTIAL_CLUSTER (did you mean QKV_INITIAL_CLUSTER?); `qkv help connection` and `qkv serve --help` name the variables, `unset QKV_INTIAL_CLUSTER`"},
		{"QKV_INTIAL_CLUSTER=", "", "unknown variable QKV_INTIAL_CLUSTER (did"},
		{"QKV_XYZ=1 QKV_ENDPOINT=a:1", "", "unknown variable QKV_ENDPOINT (did you mean QKV_ENDPOINTS?); `qkv help connection` and `qkv serve --help` name the variables, `unset QKV_ENDPOINT` "},
		{"QKV_VERSION=1 QKV_IMAGE_TAG=x QKV_ROOT=/srv", "warning: no flag of qkv reads QKV_IMAGE_TAG, QKV_ROOT", ""},
		{"QKV_DEL_PREFIX=1", "warning: no flag of qkv reads QKV_DEL_PREFIX: ignored", ""},
		{"QKV_RECIPIENT=age1", "warning: no flag of qkv reads QKV_RECIPIENT (did you mean QKV_BACKUP_RECIPIENT?): ", ""},
		// A Kubernetes service called qkv, and one called qkv-client, in the pod's namespace.
		{"QKV_SERVICE_HOST=10.0.0.1 QKV_SERVICE_PORT=2379 QKV_SERVICE_PORT_CLIENTS=2379 QKV_PORT=udp://10.0.0.1:2379 QKV_PORT_2379_UDP=udp://10.0.0.1:2379", "", ""},
		{"QKV_PORT_2379_UDP_ADDR=10.0.0.1 QKV_CLIENT_SERVICE_HOST=10.0.0.1 QKV_CLIENT_PORT_2379_UDP_PROTO=udp QKV_CLIENT_PORT=udp://10.0.0.1:2379", "", ""},
		{"QKV_FULL=1 QKV_TEST_OWN_NETWORK=1", "", ""},
	} {
		begins := func(text, with string) bool { return strings.HasPrefix(text, with) && (text == "") == (with == "") }
		warning, err := checkEnvironment(newApp(), strings.Fields(tt.environment))
		text := ""
		if err != nil {
			text = err.Error()
		}
		if !begins(warning, tt.warning) || !begins(text, tt.fail) || err != nil && form.ExitCode(err) != form.ExitUsage {
			t.Errorf("%s: warning %q, error %v", tt.environment, warning, err)
		}
	}
}

// A command whose environment has a variable of another program works, and says on the error output that it ignores the variable.
func TestForeignVariableIsNoError(t *testing.T) {
	t.Setenv("QKV_VERSION", "1.2")
	var out, messages bytes.Buffer
	code := execute(t.Context(), []string{"qkv", "version"}, nil, &out, &messages)
	if code != form.ExitOK || out.Len() == 0 || !strings.Contains(messages.String(), "no flag of qkv reads QKV_VERSION") {
		t.Errorf("exit code %d, output %q, messages %q", code, &out, &messages)
	}
}
