package main

import (
	"fmt"
	"strings"
)

// alert is one alerting rule.
type alert struct {
	name     string
	expr     string
	duration string // how long expr must give a result
	severity string // critical: act now; warning: act today; info: look at it
	summary  string // with {{ $labels.LABEL }} and {{ $value }}
	section  string // of docs/emergencies.md or docs/monitoring.md, which says what to do
}

// jobs selects the scrape jobs of qkv.
const jobs = `job=~".*qkv.*"`

// alerts are all rules. Each fires in one story of net/etcd/compat/alerts, and none while nothing is wrong.
var alerts = []alert{
	{
		name: "QkvMemberDown", expr: `up{` + jobs + `} == 0`, duration: "3m", severity: "warning",
		summary: "The member {{ $labels.instance }} does not answer Prometheus.", section: "emergencies.md#a-lost-member",
	},
	{
		name: "QkvNoQuorum", expr: `sum by (job) (up{` + jobs + `}) < (count by (job) (up{` + jobs + `}) + 1) / 2`, duration: "1m", severity: "critical",
		summary: "Only {{ $value }} members of {{ $labels.job }} answer Prometheus: fewer than a quorum. No write is accepted.", section: "emergencies.md#a-lost-quorum",
	},
	{
		name: "QkvNoLeader", expr: `etcd_server_has_leader{` + jobs + `} == 0`, duration: "1m", severity: "critical",
		summary: "The member {{ $labels.instance }} knows no leader.", section: "emergencies.md#a-lost-quorum",
	},
	{
		name: "QkvLeaderChanges", expr: `max by (job) (increase(etcd_server_leader_changes_seen_total{` + jobs + `}[15m])) >= 4`, duration: "5m", severity: "warning",
		summary: "The leader of {{ $labels.job }} has changed {{ $value }} times in a quarter of an hour: slow disks, slow networks or busy hosts.", section: "monitoring.md#the-leader-changes",
	},
	{
		name: "QkvAlarm", expr: `qkv_alarm{` + jobs + `,severity="alarm"} == 1`, duration: "1m", severity: "critical",
		summary: "The member {{ $labels.instance }} raises the alarm {{ $labels.name }}. `qkv status` shows its text.", section: "emergencies.md#alarms",
	},
	{
		name: "QkvNotice", expr: `qkv_alarm{` + jobs + `,severity="notice"} == 1`, duration: "15m", severity: "info",
		summary: "The member {{ $labels.instance }} raises the notice {{ $labels.name }}. `qkv status` shows its text.", section: "emergencies.md#alarms",
	},
	{
		name: "QkvCertificateEnds", expr: `qkv_certificate_not_after_seconds{` + jobs + `} - time() < 14 * 86400`, duration: "1h", severity: "warning",
		summary: "The certificate of the member {{ $labels.instance }} expires in {{ $value | humanizeDuration }}.", section: "hosts.md#renewing-certificates",
	},
	{
		name: "QkvQuotaLow", expr: `etcd_mvcc_db_total_size_in_bytes{` + jobs + `} / (etcd_server_quota_backend_bytes{` + jobs + `} > 0) > 0.85`, duration: "10m", severity: "warning",
		summary: "Keys, history and leases take {{ $value | humanizePercentage }} of the quota of {{ $labels.instance }}. At 100 % writes are refused.", section: "limits.md#the-quota",
	},
	{
		name: "QkvSlowDisk", expr: `histogram_quantile(0.99, rate(etcd_disk_wal_fsync_duration_seconds_bucket{` + jobs + `}[5m])) > 0.1`, duration: "10m", severity: "warning",
		summary: "A sync of the log of {{ $labels.instance }} takes {{ $value | humanizeDuration }} (99 of 100 are faster). Writes wait for it.", section: "monitoring.md#slow-disks",
	},
	{
		name: "QkvSlowNetwork", expr: `histogram_quantile(0.99, rate(etcd_network_peer_round_trip_time_seconds_bucket{` + jobs + `}[5m])) > 0.15`, duration: "10m", severity: "warning",
		summary: "The round trip from {{ $labels.instance }} to the member {{ $labels.To }} takes {{ $value | humanizeDuration }}.", section: "monitoring.md#slow-networks",
	},
	{
		name: "QkvPeerUnreachable", expr: `etcd_network_active_peers{` + jobs + `} == 0`, duration: "5m", severity: "warning",
		summary: "The member {{ $labels.instance }} is not connected to the member {{ $labels.Remote }}.", section: "emergencies.md#a-lost-member",
	},
	{
		name: "QkvWritesFail", expr: `rate(etcd_server_proposals_failed_total{` + jobs + `}[5m]) > 0.1`, duration: "5m", severity: "warning",
		summary: "{{ $value }} writes a second at {{ $labels.instance }} find no quorum within their timeout.", section: "emergencies.md#a-lost-quorum",
	},
	{
		name: "QkvMemberLags", expr: `max by (job) (etcd_server_proposals_committed_total{` + jobs + `}) - on (job) group_right () etcd_server_proposals_applied_total{` + jobs + `} > 10000`, duration: "10m", severity: "warning",
		summary: "The member {{ $labels.instance }} lags by {{ $value }} entries.", section: "monitoring.md#a-member-that-lags",
	},
	{
		name: "QkvFaultyMember", expr: `increase(qkv_false_claims_total{` + jobs + `}[15m]) + increase(qkv_undecodable_appends_total{` + jobs + `}[15m]) > 0`, duration: "0m", severity: "critical",
		summary: "The member {{ $labels.instance }} receives invalid messages of another member, which is faulty or too old.", section: "emergencies.md#a-faulty-member",
	},
	{
		name: "QkvOpenFiles", expr: `os_fd_used{` + jobs + `} / os_fd_limit{` + jobs + `} > 0.8`, duration: "5m", severity: "warning",
		summary: "The member {{ $labels.instance }} uses {{ $value | humanizePercentage }} of its open files. At the limit it refuses connections.", section: "monitoring.md#open-files",
	},
	{
		name: "QkvBackupOld", expr: `qkv_backup_age_seconds{` + jobs + `} > 300`, duration: "1m", severity: "warning",
		summary: "The backup of {{ $labels.job }}, made by {{ $labels.instance }}, lacks the changes of the last {{ $value | humanizeDuration }}.", section: "backup.md#making-a-backup",
	},
	{
		name: "QkvNoBackup", expr: `max by (job) (qkv_backup_configured{` + jobs + `}) == 1 unless on (job) qkv_backup_age_seconds{` + jobs + `}`, duration: "5m", severity: "warning",
		summary: "No member of {{ $labels.job }} makes the backup: the leader has no --backup, or does not answer Prometheus.", section: "backup.md#making-a-backup",
	},
}

// rules returns the file for Prometheus.
func rules(all []alert) []byte {
	var b strings.Builder
	b.WriteString("# Alerts for qkv. Generated by `make monitoring` from .ci/monitoring/alerts.go: change them there. The name of the scrape job must\n# contain qkv. docs/monitoring.md explains each alert.\ngroups:\n  - name: qkv\n    rules:\n")
	for _, a := range all {
		fmt.Fprintf(&b, "      - alert: %s\n        expr: |-\n          %s\n        for: %s\n        labels:\n          severity: %s\n        annotations:\n          summary: '%s'\n          runbook: docs/%s\n",
			a.name, a.expr, a.duration, a.severity, strings.ReplaceAll(a.summary, "'", "''"), a.section)
	}
	return []byte(b.String())
}
