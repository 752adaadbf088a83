package main

import (
	"bytes"
	"encoding/json"
)

// query is one line, or group of lines, of a panel.
type query struct{ expr, legend string }

// panel is one panel of a dashboard.
type panel struct {
	title, unit, text string
	kind              string // timeseries if empty
	queries           []query
}

// row is a row of panels under a heading.
type row struct {
	title  string
	panels []panel
}

// dashboard is one dashboard of Grafana.
type dashboard struct {
	uid, title string
	rows       []row
}

// Selectors of the dashboards' variables.
const (
	cluster = `{job="$job"}`
	member  = `{job="$job",instance=~"$instance"}`
)

// rate returns the rate of a counter, by its labels.
func rate(counter string) string { return `rate(` + counter + member + `[$__rate_interval])` }

// quantile returns a quantile of a histogram, by a label besides the instance.
func quantile(q, histogram, by string) string {
	if by != "" {
		by = ", " + by
	}
	return `histogram_quantile(` + q + `, sum by (le, instance` + by + `) (rate(` + histogram + `_bucket` + member + `[$__rate_interval])))`
}

// dashboards are all of them: one answers whether the cluster is well, the other what a member does.
var dashboards = []dashboard{
	{uid: "qkv-cluster", title: "qkv: cluster", rows: []row{
		{"Is it well?", []panel{
			{title: "Members that answer", kind: "stat", queries: []query{{`sum(up` + cluster + `)`, ""}}, text: "Members that answer Prometheus. Fewer than a quorum accept no write."},
			{title: "Members with a leader", kind: "stat", queries: []query{{`sum(etcd_server_has_leader` + cluster + `)`, ""}}, text: "Members that know a leader."},
			{title: "Alarms and notices", kind: "table", queries: []query{{`qkv_alarm` + cluster, ""}}, text: "`qkv status` shows their texts, and docs/emergencies.md says what to do."},
			{title: "Leader", kind: "table", queries: []query{{`qkv_role{job="$job",role="leader"} == 1`, ""}}},
			{title: "Leader changes", kind: "stat", queries: []query{{`max(increase(etcd_server_leader_changes_seen_total` + cluster + `[1h]))`, ""}}, text: "In the last hour, as the member counts that has seen most."},
			{title: "Certificates expire in", unit: "s", kind: "bargauge", queries: []query{{`qkv_certificate_not_after_seconds` + cluster + ` - time()`, "{{instance}}"}}},
			{title: "Backup", unit: "s", kind: "stat", queries: []query{{`max(qkv_backup_age_seconds` + cluster + `)`, ""}}, text: "How long the leader's backup has not had every change. Without --backup there is none."},
		}},
		{"Requests", []panel{
			{title: "Writes", unit: "ops", queries: []query{{`max(rate(etcd_mvcc_put_total` + cluster + `[$__rate_interval]))`, "puts"}, {`max(rate(etcd_mvcc_delete_total` + cluster + `[$__rate_interval]))`, "deletes"}, {`max(rate(etcd_mvcc_txn_total` + cluster + `[$__rate_interval]))`, "transactions"}}, text: "Every member applies all writes, so one member's counters are the cluster's."},
			{title: "Reads of etcd's clients", unit: "ops", queries: []query{{rate("etcd_mvcc_range_total"), "{{instance}}"}}},
			{title: "Keys read by qkv's clients", unit: "ops", queries: []query{{rate("qkv_range_rows_total"), "{{instance}}"}}},
			{title: "Time of etcd's requests, p99", unit: "s", queries: []query{{quantile("0.99", "etcd_server_request_duration_seconds", "type"), "{{instance}} {{type}}"}}},
			{title: "Failed writes", unit: "ops", queries: []query{{rate("etcd_server_proposals_failed_total"), "{{instance}}"}}, text: "Writes that found no quorum within their timeout."},
			{title: "Failed requests of etcd's clients", unit: "ops", queries: []query{{`sum by (instance, grpc_code) (rate(grpc_server_handled_total{job="$job",instance=~"$instance",grpc_code!="OK"}[$__rate_interval]))`, "{{instance}} {{grpc_code}}"}}},
		}},
		{"Disks and network", []panel{
			{title: "Sync of the log, p99", unit: "s", queries: []query{{quantile("0.99", "etcd_disk_wal_fsync_duration_seconds", ""), "{{instance}}"}}, text: "Writes wait for the second fastest of three disks."},
			{title: "Round trips between members, p99", unit: "s", queries: []query{{quantile("0.99", "etcd_network_peer_round_trip_time_seconds", "To"), "{{instance}} to {{To}}"}}},
			{title: "Lag", unit: "short", queries: []query{{`max by (job) (etcd_server_proposals_committed_total` + cluster + `) - on (job) group_right () etcd_server_proposals_applied_total` + member, "{{instance}}"}}, text: "Entries that the cluster has committed and the member has not applied."},
		}},
		{"State", []panel{
			{title: "Quota", unit: "percentunit", queries: []query{{`etcd_mvcc_db_total_size_in_bytes` + member + ` / (etcd_server_quota_backend_bytes` + member + ` > 0)`, "{{instance}}"}}, text: "At 100 % the alarm NOSPACE is raised and writes are refused."},
			{title: "Keys", unit: "short", queries: []query{{`max(etcd_debugging_mvcc_keys_total` + cluster + `)`, "keys"}, {`max(qkv_leases` + cluster + `)`, "leases"}, {`max(qkv_write_sessions` + cluster + `)`, "write sessions"}}},
			{title: "History", unit: "s", queries: []query{{`min(qkv_history_age_seconds` + cluster + `)`, "oldest readable revision"}}},
			{title: "Sizes", unit: "bytes", queries: []query{{`max(etcd_mvcc_db_total_size_in_use_in_bytes` + cluster + `)`, "live"}, {`max(qkv_history_bytes` + cluster + `)`, "history"}, {`max(qkv_snapshot_bytes` + cluster + `)`, "snapshot"}, {`max(qkv_log_bytes` + cluster + `)`, "log"}}},
		}},
	}},
	{uid: "qkv-member", title: "qkv: members", rows: []row{
		{"Clients", []panel{
			{title: "Connections", unit: "short", queries: []query{{`qkv_client_connections` + member, "{{instance}} {{protocol}}"}}},
			{title: "Requests under way", unit: "short", queries: []query{{`qkv_client_requests` + member, "{{instance}} {{protocol}}"}}},
			{title: "Memory of clients", unit: "bytes", queries: []query{{`qkv_client_memory_bytes` + member, "{{instance}} qkv"}, {`qkv_client_message_bytes` + member, "{{instance}} etcd"}, {`qkv_watch_waiting_bytes` + member, "{{instance}} watches"}}},
			{title: "Watches", unit: "short", queries: []query{{`etcd_debugging_mvcc_watcher_total` + member, "{{instance}}"}}},
			{title: "Events to etcd's clients", unit: "ops", queries: []query{{rate("etcd_debugging_mvcc_events_total"), "{{instance}}"}}},
			{title: "gRPC traffic", unit: "Bps", queries: []query{{rate("etcd_network_client_grpc_received_bytes_total"), "{{instance}} in"}, {rate("etcd_network_client_grpc_sent_bytes_total"), "{{instance}} out"}}},
		}},
		{"A write", []panel{
			{title: "Stages of a write, p99", unit: "s", queries: []query{{quantile("0.99", "qkv_write_stage_seconds", "stage"), "{{instance}} {{stage}}"}}, text: "The stage that takes most of a write's time is the bottleneck."},
			{title: "Time to apply a batch, p99", unit: "s", queries: []query{{quantile("0.99", "etcd_disk_backend_commit_duration_seconds", ""), "{{instance}}"}}},
			{title: "Batches in flight", unit: "short", queries: []query{{`etcd_server_proposals_pending` + member, "{{instance}}"}}},
			{title: "Messages that wait for an actor", unit: "short", queries: []query{{`qkv_mailbox_messages` + member, "{{instance}} {{actor}}"}}},
			{title: "Slow reads and batches", unit: "ops", queries: []query{{rate("etcd_server_slow_read_indexes_total"), "{{instance}} reads"}, {rate("etcd_server_slow_apply_total"), "{{instance}} batches"}}},
		}},
		{"Disk", []panel{
			{title: "Syncs", unit: "ops", queries: []query{{rate("etcd_disk_wal_fsync_duration_seconds_count"), "{{instance}}"}}},
			{title: "Written to the log", unit: "Bps", queries: []query{{rate("etcd_disk_wal_write_bytes_total"), "{{instance}}"}}},
			{title: "Files", unit: "bytes", queries: []query{{`qkv_log_bytes` + member, "{{instance}} log"}, {`qkv_snapshot_bytes` + member, "{{instance}} snapshot"}, {`qkv_base_bytes` + member, "{{instance}} base"}, {`qkv_extent_bytes` + member, "{{instance}} extents"}}},
			{title: "Time to save a snapshot, p99", unit: "s", queries: []query{{quantile("0.99", "etcd_snap_db_save_total_duration_seconds", ""), "{{instance}}"}}},
		}},
		{"Other members", []panel{
			{title: "Connected", unit: "short", queries: []query{{`etcd_network_active_peers` + member, "{{instance}} to {{Remote}}"}}},
			{title: "Traffic between members", unit: "Bps", queries: []query{{rate("etcd_network_peer_sent_bytes_total"), "{{instance}} to {{To}}"}, {rate("etcd_network_peer_received_bytes_total"), "{{instance}} from {{From}}"}}},
			{title: "Waiting bytes", unit: "bytes", queries: []query{{`qkv_peer_queued_bytes` + member, "{{instance}} to {{to}}"}}},
			{title: "Lost packets", unit: "percentunit", queries: []query{{`qkv_peer_packets_lost` + member + ` / (qkv_peer_packets_sent` + member + ` > 0)`, "{{instance}} to {{to}}"}}},
			{title: "Messages that were not sent", unit: "ops", queries: []query{{rate("etcd_network_peer_sent_failures_total"), "{{instance}} to {{To}}"}}},
		}},
		{"The process", []panel{
			{title: "CPU time", unit: "percentunit", queries: []query{{rate("process_cpu_seconds_total"), "{{instance}}"}}, text: "100 % is one processor."},
			{title: "Memory", unit: "bytes", queries: []query{{`process_resident_memory_bytes` + member, "{{instance}} resident"}, {`go_memstats_heap_inuse_bytes` + member, "{{instance}} heap"}}},
			{title: "Open files", unit: "percentunit", queries: []query{{`os_fd_used` + member + ` / os_fd_limit` + member, "{{instance}}"}}},
			{title: "Goroutines", unit: "short", queries: []query{{`go_goroutines` + member, "{{instance}}"}}},
			{title: "Versions", kind: "table", queries: []query{{`qkv_build_info` + member, ""}}},
		}},
	}},
}

// Sizes of panels, on Grafana's grid of 24 columns.
const (
	columns     = 24
	panelWidth  = 8
	panelHeight = 7
)

// object is an object of Grafana's JSON.
type object = map[string]any

// json returns a dashboard in Grafana's format.
func (d *dashboard) json() ([]byte, error) {
	var panels []object
	id, y := 0, 0
	source := object{"type": "prometheus", "uid": "${source}"}
	for _, r := range d.rows {
		id++
		panels = append(panels, object{"id": id, "type": "row", "title": r.title, "collapsed": false, "panels": []object{}, "gridPos": object{"x": 0, "y": y, "w": columns, "h": 1}})
		y++
		for i, p := range r.panels {
			id++
			one := p.json(source)
			one["id"] = id
			one["gridPos"] = object{"x": i * panelWidth % columns, "y": y + i*panelWidth/columns*panelHeight, "w": panelWidth, "h": panelHeight}
			panels = append(panels, one)
		}
		y += (len(r.panels)*panelWidth + columns - 1) / columns * panelHeight
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(object{
		"uid": d.uid, "title": d.title, "tags": []string{"qkv"}, "schemaVersion": 39, "editable": true, "refresh": "30s",
		"time": object{"from": "now-1h", "to": "now"}, "panels": panels,
		"description": "Generated by `make monitoring` of qkv. docs/metrics.md describes the metrics.",
		"templating": object{"list": []object{
			{"name": "source", "label": "source", "type": "datasource", "query": "prometheus"},
			variable("job", source, `label_values(qkv_build_info, job)`, false),
			variable("instance", source, `label_values(qkv_build_info{job="$job"}, instance)`, true),
		}},
	})
	return text.Bytes(), err
}

func variable(name string, source object, query string, several bool) object {
	v := object{"name": name, "label": name, "type": "query", "datasource": source, "query": query, "refresh": 2, "sort": 1, "multi": several, "includeAll": several}
	if several {
		v["current"] = object{"text": "All", "value": "$__all"}
	}
	return v
}

// json returns a panel in Grafana's format, without its place.
func (p *panel) json(source object) object {
	kind := p.kind
	if kind == "" {
		kind = "timeseries"
	}
	var targets []object
	for i, q := range p.queries {
		t := object{"refId": string(rune('A' + i)), "datasource": source, "expr": q.expr, "legendFormat": q.legend}
		if kind != "timeseries" {
			t["instant"] = true
		}
		if kind == "table" {
			t["format"] = "table"
		}
		targets = append(targets, t)
	}
	one := object{"type": kind, "title": p.title, "datasource": source, "targets": targets, "fieldConfig": object{"defaults": object{"unit": p.unit}, "overrides": []object{}}, "options": object{}}
	if p.text != "" {
		one["description"] = p.text
	}
	return one
}
