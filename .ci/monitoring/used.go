package main

import (
	"regexp"
	"slices"
)

// metricName matches the name of a metric in a query: it stands before its labels.
var metricName = regexp.MustCompile(`\b([a-z][a-z0-9_]*)\{`)

// queries returns the queries of all rules and dashboards.
func queries() (all []string) {
	for _, a := range alerts {
		all = append(all, a.expr)
	}
	for _, d := range dashboards {
		for _, r := range d.rows {
			for _, p := range r.panels {
				for _, q := range p.queries {
					all = append(all, q.expr)
				}
			}
		}
	}
	return all
}

// usedMetrics returns the metrics in all queries, sorted; of a histogram its series, as in NAME_bucket.
func usedMetrics() (names []string) {
	for _, q := range queries() {
		for _, m := range metricName.FindAllStringSubmatch(q, -1) {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
