package checks

import (
	"slices"

	"qkv/index/kv"
)

// ProbeCheck is a check of one member by itself, at /livez and /readyz, with etcd's name.
type ProbeCheck struct {
	Name  string
	Means string // what a failure means
	Do    string // the next command or step
}

// Probes are the checks of /livez and /readyz. They share their remedies with the checks of the cluster and with the alarms.
var Probes = []ProbeCheck{
	{"serializable_read", "the member does not serve reads of its own state", "read the last lines of that member's log; `qkv doctor --data-dir DIR` checks its folder"},
	{"data_corruption", "the member raises the alarm CORRUPT", alarmNamed(kv.CorruptAlarm).Do},
	{"linearizable_read", "no leader or no quorum confirms a read, or the member is starting", clusterCheck("quorum").Do},
	{"non_learner", "the member has no vote", "wait until it has caught up: `qkv member list` shows its role"},
	{"certificate", "the member's certificate is not valid by its clock, or most other members refuse it", alarmNamed(kv.CertAlarm).Do},
}

// ProbeNamed returns the check of a name, which must be in Probes.
func ProbeNamed(name string) ProbeCheck {
	return Probes[slices.IndexFunc(Probes, func(p ProbeCheck) bool { return p.Name == name })]
}

func clusterCheck(id string) Check {
	return Cluster[slices.IndexFunc(Cluster, func(c Check) bool { return c.ID == id })]
}
