package backup

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// kubernetes makes objects as kube-apiserver stores them: protobuf in an envelope, with managed fields. What differs from object to object in a
// cluster differs here: names, uids, hashes, addresses, times, nodes.
type kubernetes struct {
	random *rand.Rand
	now    time.Time
}

// message is fields of a protobuf message: strings, messages and numbers, by their position.
func message(fields ...any) (b []byte) {
	for i, f := range fields {
		number := protowire.Number(i + 1)
		switch f := f.(type) {
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), f)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), f)
		case [][]byte:
			for _, one := range f {
				b = protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), one)
			}
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(f))
		}
	}
	return b
}

func (k *kubernetes) hex(bytes int) string {
	b := make([]byte, bytes)
	for i := range b {
		b[i] = byte(k.random.Uint32())
	}
	return hex.EncodeToString(b)
}

func (k *kubernetes) uid() string {
	h := k.hex(16)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// suffix is the end of a generated name.
func (k *kubernetes) suffix(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "bcdfghjklmnpqrstvwxz2456789"[k.random.IntN(27)]
	}
	return string(b)
}

func (k *kubernetes) time() []byte {
	k.now = k.now.Add(time.Duration(k.random.IntN(900)) * time.Millisecond)
	return message(int(k.now.Unix()), k.now.Nanosecond()/1000*1000)
}

func (k *kubernetes) node() string {
	return fmt.Sprintf("ip-10-0-%d-%d.eu-central-1.compute.internal", k.random.IntN(8), k.random.IntN(256))
}

// pairs is a map of strings.
func pairs(all ...string) (b [][]byte) {
	for i := 0; i < len(all); i += 2 {
		b = append(b, message(all[i], all[i+1]))
	}
	return b
}

func (k *kubernetes) managed(manager, operation, version, fields, subresource string) []byte {
	return message(manager, operation, version, k.time(), nil, "FieldsV1", message(fields), subresource)
}

func inEtcd(version, kind string, object []byte) []byte {
	return append([]byte("k8s\x00"), message(message(version, kind), object, "", "")...)
}

func (k *kubernetes) pod(i int) (key string, object []byte) {
	app := []string{"checkout", "catalog", "payments", "search", "frontend"}[i/40%5]
	set := fmt.Sprintf("%s-%x", app, 0x7d4b9c6f5d+i/40)
	name, node, ip := set+"-"+k.suffix(5), k.node(), fmt.Sprintf("10.244.%d.%d", k.random.IntN(64), k.random.IntN(256))
	meta := func(managed ...[]byte) []byte {
		return message(name, set+"-", "shop", "", k.uid(), "", 0, k.time(), nil, nil,
			pairs("app.kubernetes.io/name", app, "app.kubernetes.io/part-of", "shop", "pod-template-hash", set[len(app)+1:], "topology.kubernetes.io/zone", "eu-central-1"+"abc"[k.random.IntN(3):][:1]),
			pairs("prometheus.io/scrape", "true", "prometheus.io/port", "9102", "kubectl.kubernetes.io/restartedAt", k.now.Format(time.RFC3339), "checksum/config", k.hex(32)),
			[][]byte{message("ReplicaSet", "apps/v1", set, k.uid(), 1, 1)}, nil, nil, nil, managed)
	}
	var containers, statuses [][]byte
	controller, kubelet := &strings.Builder{}, &strings.Builder{}
	for c, image := range []string{app, "envoy", "log-shipper"} {
		var env [][]byte
		fmt.Fprintf(controller, `"k:{\"name\":\"%s\"}":{".":{},"f:env":{".":{}`, image)
		for _, one := range []string{"LOG_LEVEL", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "DATABASE_URL", "REDIS_ADDRESS", "FEATURE_FLAGS", "HTTP_PORT", "SHUTDOWN_GRACE"} {
			env = append(env, message(one, strings.ToLower(one)+".shop.svc.cluster.local:"+fmt.Sprint(4000+c)))
			fmt.Fprintf(controller, `,"k:{\"name\":\"%s\"}":{".":{},"f:name":{},"f:value":{}}`, one)
		}
		controller.WriteString(`},"f:image":{},"f:imagePullPolicy":{},"f:livenessProbe":{".":{},"f:failureThreshold":{},"f:httpGet":{".":{},"f:path":{},"f:port":{},"f:scheme":{}},"f:periodSeconds":{}},"f:name":{},"f:resources":{".":{},"f:limits":{".":{},"f:cpu":{},"f:memory":{}},"f:requests":{".":{},"f:cpu":{},"f:memory":{}}},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}},`)
		tag := fmt.Sprintf("registry.example.com/shop/%s:v1.%d.0", image, 20+c)
		containers = append(containers, message(image, tag, nil, nil, nil, nil, env, pairs("limits", "cpu=500m,memory=512Mi", "requests", "cpu=100m,memory=256Mi"),
			[][]byte{message("config", 1, "/etc/shop"), message("kube-api-access-"+k.suffix(5), 1, "/var/run/secrets/kubernetes.io/serviceaccount")},
			message(message("/healthz", "8080", "HTTP"), 10, 1, 10, 1, 3), nil, nil, "/dev/termination-log", "IfNotPresent"))
		statuses = append(statuses, message(image, message(nil, message(k.time())), nil, 1, 0, tag, "registry.example.com/shop/"+image+"@sha256:"+fmt.Sprintf("%064x", c*7919), "containerd://"+k.hex(32), 1))
	}
	for _, one := range []string{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		statuses = append(statuses, message(one, "True", k.time(), k.time()))
		fmt.Fprintf(kubelet, `"k:{\"type\":\"%s\"}":{".":{},"f:lastProbeTime":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}},`, one)
	}
	spec := message(nil, containers, "Always", 30, nil, "ClusterFirst", nil, app, app, node, nil, pairs("node.kubernetes.io/not-ready", "NoExecute", "node.kubernetes.io/unreachable", "NoExecute"), "default-scheduler")
	status := message("Running", statuses, "", "", fmt.Sprintf("10.0.%d.%d", k.random.IntN(8), k.random.IntN(256)), ip, k.time(), "Burstable")
	object = inEtcd("v1", "Pod", message(meta(
		k.managed("kube-controller-manager", "Update", "v1", `{"f:metadata":{"f:annotations":{".":{},"f:checksum/config":{},"f:prometheus.io/port":{},"f:prometheus.io/scrape":{}},"f:generateName":{},"f:labels":{".":{},"f:app.kubernetes.io/name":{},"f:app.kubernetes.io/part-of":{},"f:pod-template-hash":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"`+k.uid()+`\"}":{}}},"f:spec":{"f:containers":{`+controller.String()+`"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:serviceAccount":{},"f:terminationGracePeriodSeconds":{}}}`, ""),
		k.managed("kubelet", "Update", "v1", `{"f:status":{"f:conditions":{`+kubelet.String()+`"f:containerStatuses":{},"f:hostIP":{},"f:phase":{},"f:podIP":{},"f:podIPs":{".":{},"k:{\"ip\":\"`+ip+`\"}":{".":{},"f:ip":{}}},"f:startTime":{}}}}`, "status")), spec, status))
	return "/registry/pods/shop/" + name, object
}

// lease is the lease of one of 200 nodes, which is renewed each 10 seconds.
func (k *kubernetes) lease(i int) (key string, object []byte) {
	node := fmt.Sprintf("ip-10-0-%d-%d.eu-central-1.compute.internal", i%200/50, i%200)
	of := rand.New(rand.NewPCG(uint64(i%200), 1))
	same := &kubernetes{random: of, now: time.Unix(1_700_000_000, 0)}
	return "/registry/leases/kube-node-lease/" + node, inEtcd("coordination.k8s.io/v1", "Lease", message(
		message(node, "", "kube-node-lease", "", same.uid(), "", 0, same.time(), nil, nil, nil, nil, [][]byte{message("Node", "v1", node, same.uid())}, nil, nil, nil,
			k.managed("kubelet", "Update", "coordination.k8s.io/v1", `{"f:metadata":{"f:ownerReferences":{".":{},"k:{\"uid\":\"`+same.uid()+`\"}":{}}},"f:spec":{"f:holderIdentity":{},"f:leaseDurationSeconds":{},"f:renewTime":{}}}`, "")),
		message(node, 40, nil, k.time())))
}

func (k *kubernetes) event(i int) (key string, object []byte) {
	pod := fmt.Sprintf("checkout-%x-%s", 0x7d4b9c6f5d+i/40, k.suffix(5))
	reason := [][2]string{
		{"Scheduled", "Successfully assigned shop/" + pod + " to " + k.node()},
		{"Pulled", `Container image "registry.example.com/shop/checkout:v1.20.0" already present on machine`},
		{"Created", "Created container: checkout"},
		{"Unhealthy", fmt.Sprintf("Readiness probe failed: Get \"http://10.244.%d.%d:8080/healthz\": context deadline exceeded", k.random.IntN(64), k.random.IntN(256))},
	}[k.random.IntN(4)]
	name := pod + "." + k.hex(8)
	return "/registry/events/shop/" + name, inEtcd("v1", "Event", message(
		message(name, "", "shop", "", k.uid(), "", 0, k.time(), nil, nil, nil, nil, nil, nil, nil, nil,
			k.managed("kubelet", "Update", "v1", `{"f:count":{},"f:firstTimestamp":{},"f:involvedObject":{},"f:lastTimestamp":{},"f:message":{},"f:reason":{},"f:reportingComponent":{},"f:reportingInstance":{},"f:source":{"f:component":{},"f:host":{}},"f:type":{}}`, "")),
		message("Pod", "shop", pod, k.uid(), "v1", fmt.Sprint(4_000_000+k.random.IntN(1_000_000)), "spec.containers{checkout}"),
		reason[0], reason[1], message("kubelet", k.node()), k.time(), k.time(), 1, "Normal", nil, "", nil, "kubelet", k.node()))
}

// Pods, leases and events take a third of their size in a backup, or less: in bases and in the log.
func TestKubernetesIsSmall(t *testing.T) {
	k := &kubernetes{rand.New(rand.NewPCG(1, 1)), time.Unix(1_700_000_000, 0)}
	for what, one := range map[string]struct {
		n    int
		make func(i int) (key string, object []byte)
	}{"pods": {300, k.pod}, "leases": {4000, k.lease}, "events": {3000, k.event}} {
		h, on := newHistory(t, 1), newFolder(t)
		l := limits.Defaults().Index
		l.ExtentBytes = 1 << 20
		h.state, h.entries, h.moments = index.NewState(l), nil, h.moments[:1]
		h.state.Found(founders())
		h.state.Stored(0, 0, nil)
		h.add(false)
		w := open(t, on)
		must(t, h.base(w))
		size := 0
		for i := range one.n {
			key, object := one.make(i)
			size += len(key) + len(object)
			h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte(key), Value: object}).Bytes)
		}
		must(t, w.Append(background, h.from(w.bases[0].Index)))
		must(t, h.base(w))
		log := int64(0)
		for _, of := range logs(t, w.store) {
			log += int64(len(slurp(t, on, "to/b/"+of.name())))
		}
		content, base := w.Bases()[1].Bytes()
		t.Logf("%s of %d bytes: %d bytes become a base of %d (%.3f), and a log of %d (%.3f)", what, size/one.n, size, base, float64(base)/float64(content), log, float64(log)/float64(size))
		if base > content/3 || log > int64(size)/3 {
			t.Errorf("%s: %d bytes become a base of %d and a log of %d", what, size, base, log)
		}
		got, err := restore(on, At{})
		must(t, err)
		h.same(got, uint64(len(h.entries)))
		must(t, w.Close())
	}
}
