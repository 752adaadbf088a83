package run

import (
	"cmp"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qkv/cli/form"
	"qkv/cli/form/formtest"
	"qkv/internal/etcdflags"
	"qkv/net/wire"
	"qkv/node"
)

// TestEtcdPeers: how members without certificate files authenticate each other, by their command line. Insecure peers are never the
// default.
func TestEtcdPeers(t *testing.T) {
	secret, err := wire.NewSecret(form.CertMaker().Rand)
	formtest.Must(t, err)
	file := filepath.Join(t.TempDir(), "secret")
	formtest.Must(t, wire.WriteSecrets(file, []wire.ClusterSecret{secret}, false))
	const (
		alone   = "--name n1 --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 --initial-cluster n1=http://10.0.0.1:2380"
		several = alone + ",n2=http://10.0.0.2:2380"
		local   = "--name n1 --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster n1=http://127.0.0.1:2380,n2=http://127.0.0.2:2380"
	)
	secure := strings.ReplaceAll(several, "http:", "https:")
	for _, tt := range []struct {
		line, variable string
		listen, source string // empty: members use the local CA
		refusal        string
	}{
		{line: alone, listen: "127.0.0.1:2380"},
		{line: strings.ReplaceAll(alone, "10.0.0.1", "0.0.0.0"), listen: "127.0.0.1:2380"}, // etcd's line for Docker
		{line: alone + " --initial-cluster-state existing", refusal: "names no other member"},
		{line: several, refusal: "several members need a cluster secret or certificates beyond loopback"},
		{line: several + " --insecure-peers=false", refusal: "several members need a cluster secret"},
		{line: several + " --initial-cluster-state existing", refusal: "several members need a cluster secret"},
		{line: strings.ReplaceAll(several, "http://10.0.0.1:2380 --initial-a", "http://0.0.0.0:2380 --initial-a"), refusal: "several members need a cluster secret"},
		{line: secure, refusal: "--peer-cert-file, --peer-key-file) must be provided"},
		{line: secure + " --peer-auto-tls", refusal: "several members need a cluster secret"},
		{line: local, listen: "127.0.0.1:2380"},
		{line: several, variable: secret.Reveal(), listen: "10.0.0.1:2380", source: "QKV_CLUSTER_SECRET"},
		{line: secure, variable: secret.Reveal(), listen: "10.0.0.1:2380", source: "QKV_CLUSTER_SECRET"},
		{line: several + " --cluster-secret-file " + file, listen: "10.0.0.1:2380", source: "the cluster secret in " + file},
		{line: alone + " --cluster-secret-file " + file, listen: "10.0.0.1:2380", source: "the cluster secret in " + file},
		{line: several + " --insecure-peers", listen: "10.0.0.1:2380", source: "--insecure-peers"},
		{line: several + " --insecure-peers --cluster-secret-file " + file, refusal: "leave out --insecure-peers"},
		{line: several, variable: "swordfish", refusal: "this is no cluster secret"},
		{line: several + " --cluster-secret-file " + file, variable: secret.Reveal(), refusal: "give only one of them"},
	} {
		t.Setenv(form.SecretVariable, tt.variable)
		c, err := etcdflags.Parse(strings.Fields(tt.line), nil, os.ReadFile)
		formtest.Must(t, err)
		c.Resolve("")
		var config node.Config
		err = cmp.Or(etcdPeers(c, &config, slog.New(slog.DiscardHandler)), config.BeginFault)
		if tt.refusal != "" {
			if err == nil || !strings.Contains(err.Error(), tt.refusal) || strings.Contains(err.Error(), secret.Reveal()[20:40]) {
				t.Errorf("%s, %s: %v, want %q", tt.line, tt.variable, err, tt.refusal)
			}
			continue
		}
		source := ""
		if config.Secret != nil {
			source = config.Secret.Name
		}
		if err != nil || config.ListenPeer != tt.listen || source != tt.source || config.InsecurePeers != (tt.source == "--insecure-peers") {
			t.Errorf("%s, %s: listens at %s, by %q, insecure %v, %v", tt.line, tt.variable, config.ListenPeer, source, config.InsecurePeers, err)
		}
	}
}
