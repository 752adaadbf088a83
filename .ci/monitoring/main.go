// Command monitoring writes what Prometheus and Grafana need, and the page of the metrics:
//
//	deploy/prometheus/rules.yml    the alerts of alerts.go
//	deploy/grafana/*.json          the dashboards of dashboards.go
//	docs/metrics.md                every metric of a member, as the member itself describes it
//
// Run it in the root folder of the repository; `make monitoring` does. A test fails while a file differs from what this command would write.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	files, err := files()
	for _, f := range files {
		if err == nil {
			err = os.MkdirAll(filepath.Dir(f.name), 0o755)
		}
		if err == nil {
			err = os.WriteFile(f.name, f.text, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "monitoring:", err)
		os.Exit(1)
	}
}

// file is a generated file; its name begins at the root of the repository.
type file struct {
	name string
	text []byte
}

// files generates all files.
func files() (all []file, err error) {
	families, err := scrape()
	if err != nil {
		return nil, err
	}
	all = []file{
		{"docs/metrics.md", metricsPage(families)},
		{"deploy/prometheus/rules.yml", rules(alerts)},
	}
	for _, d := range dashboards {
		text, err := d.json()
		if err != nil {
			return nil, err
		}
		all = append(all, file{"deploy/grafana/" + d.uid + ".json", text})
	}
	return all, nil
}
