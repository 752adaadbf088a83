package cluster

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/net/wire"
)

// shownVariables are the variables of which a bundle has the values. Of all others it has the names only: a value may be a password.
var shownVariables = []string{
	"QKV_ADVERTISE", "QKV_ADVERTISE_PEER", "QKV_CERTS_DIR", "QKV_CLIENT", "QKV_DATA_DIR", "QKV_ELECTION_TIMEOUT", "QKV_ENDPOINTS", "QKV_HEARTBEAT_INTERVAL",
	"QKV_HISTORY_AGE", "QKV_HISTORY_BYTES", "QKV_HOME", "QKV_INITIAL_CLUSTER", "QKV_JOIN", "QKV_LISTEN", "QKV_LISTEN_PEER", "QKV_LISTEN_WEB",
	"QKV_LOG_LEVEL", "QKV_MAX_REQUEST_BYTES", "QKV_NAME", "QKV_QUOTA_BYTES", "QKV_SEGMENT_BYTES", "QKV_TIMEOUT",
}

// environmentText lists qkv's variables, with the values of shownVariables.
func environmentText(environment []string) string {
	var lines []string
	for _, one := range environment {
		name, _, _ := strings.Cut(one, "=")
		switch {
		case !strings.HasPrefix(name, "QKV_"):
		case slices.Contains(shownVariables, name):
			lines = append(lines, one+"\n")
		default:
			lines = append(lines, name+" (set, not shown)\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// bundle collects files in the memory. Metrics are bounded by bundleMetricsBytes for each member; all other files are small.
type bundle struct {
	tar *tar.Writer
	now time.Time
	err error
}

func (b *bundle) add(name string, content []byte) {
	header := &tar.Header{Name: "qkv-doctor/" + name, Mode: 0o600, Size: int64(len(content)), ModTime: b.now}
	if b.err == nil {
		b.err = b.tar.WriteHeader(header)
	}
	if b.err == nil {
		_, b.err = b.tar.Write(content)
	}
}

func (b *bundle) addJSON(name string, document any) {
	content, err := json.MarshalIndent(document, "", "  ")
	b.err = errors.Join(b.err, err)
	b.add(name, append(content, '\n'))
}

// writeBundle writes a new file for support.
func writeBundle(c *cli.Context, file string, d Diagnosis) error {
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return form.Usagef("%w: give --bundle the name of a new file", err)
	}
	if err != nil {
		return err
	}
	var text bytes.Buffer
	zip := gzip.NewWriter(&text)
	b := bundle{tar: tar.NewWriter(zip), now: time.Now().Truncate(time.Second)} // tar rounds
	b.addJSON("doctor.json", d)
	b.addJSON("status.json", documentsOfMembers(d.members))
	b.add("version.txt", fmt.Appendf(nil, "qkv %s %s %s %s/%s\n", form.Version, form.Commit(debug.ReadBuildInfo()), runtime.Version(), runtime.GOOS, runtime.GOARCH))
	b.add("environment.txt", []byte(environmentText(os.Environ())))
	addMetrics(c, &b, d.members)
	if err := errors.Join(b.err, b.tar.Close(), zip.Close()); err != nil {
		return errors.Join(err, out.Close(), os.Remove(file))
	}
	_, err = out.Write(text.Bytes())
	return errors.Join(err, out.Close())
}

// addMetrics adds each member's metrics, or the reason of their absence.
func addMetrics(c *cli.Context, b *bundle, members []MemberStatus) {
	t, err := form.TargetOf(c)
	if err != nil {
		return // the checks have the reason
	}
	credentials, err := t.Credentials()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(c.Context, time.Duration(len(members)+1)*MemberTimeout)
	defer cancel()
	for i := range members {
		m := &members[i]
		if len(m.Clients) == 0 || !m.Answers {
			continue
		}
		content, err := metricsOf(ctx, credentials, m.Clients[0])
		if err != nil {
			content = fmt.Appendf(content, "# not complete: %v\n", err)
		}
		b.add("metrics-"+m.ID+".txt", content)
	}
}

// bundleMetricsBytes bounds the metrics of one member in a bundle for support: some 100 KiB in practice.
const bundleMetricsBytes = 4 << 20

// metricsOf asks a member for its metrics, over HTTPS, or over HTTP if the port does not speak TLS.
func metricsOf(ctx context.Context, credentials *wire.Credentials, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, MemberTimeout)
	defer cancel()
	scheme := "https"
	if conn, err := wire.DialHTTPS(ctx, credentials, address); err != nil {
		scheme = "http"
	} else {
		_ = conn.Close()
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: wire.HTTPSClientTLS(credentials)}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", address, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, bundleMetricsBytes))
}
