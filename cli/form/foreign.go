package form

import (
	"strings"
)

// Habits of users of etcd, Consul, Redis and shells, and their equivalents here. A text that is not a command is printed unchanged.
const (
	useWatch       = "`qkv watch KEY`"
	useTxn         = "`qkv txn` reads a transaction from stdin"
	useLease       = "`qkv lease grant SECONDS`, then `qkv put KEY VALUE --lease ID`"
	useUser        = "--user NAME, and the password from --user-password-file FILE, or QKV_USER_PASSWORD_FILE, or a terminal"
	useRoles       = "`qkv user` and `qkv role` manage users and roles"
	useCompact     = "`qkv compact REVISION`; it also runs by itself: docs/limits.md says what is kept"
	useStatus      = "`qkv status` shows all members; with --check its exit code says whether all is well"
	useMembers     = "`qkv member list` lists the members"
	useRemove      = "`qkv member remove NAME`"
	useLead        = "`qkv member lead NAME`"
	useEtcdctl     = "etcdctl sorts and filters, and works with a qkv"
	useRecover     = "`qkv recover --accept-loss --data-dir DIR` makes one member's data a new cluster"
	useGetPrefix   = "`qkv get PREFIX --prefix --keys-only` lists keys"
	useValueAlone  = "`qkv get KEY` prints the value alone, --raw without a newline"
	useCertsDir    = "--certs-dir DIR holds ca.crt and this client's certificate and key"
	useTimeout     = "--timeout bounds the whole command"
	useHostPort    = "it is HOST:PORT, UDP, without a scheme"
	useBackup      = "`qkv serve --backup PLACE` backs a running cluster up, and `qkv restore PLACE` makes a new one; `qkv inspect FILE` shows a member's own"
	useEndpoints   = "--endpoints HOST:PORT,..."
	useJSON        = "`-w json` has text as text and all else in base64"
	useConfigFile  = "`qkv serve --config FILE` takes a file of its flags, and `qkv etcd --config-file` takes the file of an etcd"
	alwaysVerified = "mutual TLS is always on: on loopback by itself, elsewhere with --certs-dir"
)

var ForeignCommands = map[string]string{
	"alarm":     "`qkv status` shows the alarms, which end by themselves; `etcdctl alarm disarm` ends one that a client raised",
	"subscribe": useWatch, "cas": useTxn, "multi": useTxn,
	"session": useLease, "ttl": useLease, "expire": useLease,
	"members": useMembers, "peers": useMembers, "join": "`qkv member add NAME`, then `qkv serve --join` there", "leave": useRemove, "force-leave": useRemove, "endpoint": useStatus, "health": useStatus, "audit": "`qkv serve --audit-log FILE` appends audit lines, one JSON object a line, to a file", "verify": "members read their files by themselves, and `qkv doctor` shows damage", "top": "the dashboard shows the load, and `qkv status` the members", "info": useStatus,
	"operator raft": useMembers, "operator": useStatus, "cluster": useStatus, "transfer-leader": useLead, "move-leader": useLead, "member rm": useRemove,
	"member delete": useRemove,
	"acl":           useRoles, "login": useUser, "compaction": useCompact,
	"upgrade":        "`qkv doctor`, run by the new program, names the next member to upgrade",
	"backup inspect": "`qkv inspect PLACE`",
	"user show":      "`qkv user list NAME`", "role show": "`qkv role list ROLE`", "auth status": "`qkv whoami` says whether authentication is enabled",
	"user get": "`qkv user list NAME`", "user passwd": "`qkv user password NAME`", "user grant-role": "`qkv user grant NAME ROLE`", "user revoke-role": "`qkv user revoke NAME ROLE`", "user del": "`qkv user delete NAME`",
	"role get": "`qkv role list ROLE`", "role grant-permission": "`qkv role grant ROLE --prefix PREFIX --read --write`", "role revoke-permission": "`qkv role revoke ROLE --prefix PREFIX`", "role del": "`qkv role delete ROLE`",
	"defrag": useCompact, "snapshot": useBackup, "save": useBackup, "dump": useBackup,
	"check": "`qkv bench` measures; `qkv status --check` judges", "ls": useGetPrefix, "list": useGetPrefix, "keys": useGetPrefix, "scan": useGetPrefix,
	"range": "`qkv get PREFIX --prefix` or `qkv get KEY --from-key`", "set": "`qkv put KEY VALUE`", "create": "`qkv put KEY VALUE`",
	"write": "`qkv put KEY VALUE`", "read": "`qkv get KEY`", "cat": "`qkv get KEY`", "rm": "`qkv del KEY`", "delete": "`qkv del KEY`",
	"remove": "`qkv del KEY`", "unset": "`qkv del KEY`", "kv": "without kv: `qkv get`, `qkv put`, `qkv del`, `qkv import`, `qkv export`",
	"agent": "`qkv serve` runs a member", "server": "`qkv serve` runs a member", "start": "`qkv serve` runs a member", "run": "`qkv serve` runs a member",
	"dev": "`qkv demo` runs three members", "tls": "`qkv cert` makes certificates", "mk": "`qkv put KEY VALUE`", "mkdir": "there are no folders: a key may hold slashes",
	"exec": useTxn, "perf": "`qkv bench` measures", "benchmark": "`qkv bench` measures",
}

var ForeignFlags = map[string]string{
	"print-value-only": useValueAlone, "value-only": useValueAlone, "cacert": useCertsDir, "cert": useCertsDir, "key": useCertsDir,
	"cert-file": useCertsDir, "key-file": useCertsDir, "trusted-ca-file": useCertsDir, "peer-cert-file": useCertsDir, "peer-key-file": useCertsDir,
	"peer-trusted-ca-file": useCertsDir, "client-cert-auth": alwaysVerified, "peer-client-cert-auth": alwaysVerified, "auto-tls": alwaysVerified,
	"peer-auto-tls": alwaysVerified, "insecure-skip-tls-verify": alwaysVerified, "insecure-transport": alwaysVerified, "insecure": alwaysVerified,
	"command-timeout": useTimeout, "dial-timeout": useTimeout, "keepalive-time": useTimeout, "consistency": "reads are linearizable; --serializable asks one member alone",
	"stale": "--serializable asks one member alone", "hex": useJSON, "password": useUser,
	"token": useUser, "ttl": "`qkv put KEY VALUE --ttl TIME`",
	"cluster": "status asks all members by itself", "peers": useEndpoints, "endpoint": useEndpoints, "host": useEndpoints, "http-addr": useEndpoints,
	"listen-client-urls": "--listen: " + useHostPort, "listen-peer-urls": "--listen-peer: " + useHostPort,
	"advertise-client-urls": "--advertise: " + useHostPort, "initial-advertise-peer-urls": "--advertise-peer: " + useHostPort,
	"initial-cluster-state": "--initial-cluster founds a cluster, --join makes the member one of a cluster that runs, after `qkv member add`",
	"peer-urls":             "--peer: " + useHostPort, "learner-only": "--learner", "bootstrap": "--found: a new cluster of this member alone", "bootstrap-expect": "--initial-cluster names all members of a new cluster",
	"force-new-cluster": useRecover, "retry-join": "--join HOST:PORT,...",
	"quota-backend-bytes": "--quota-bytes, of all that keys and their history weigh", "snapshot-count": "snapshots are taken by the size of the log",
	"auto-compaction-retention": useCompact, "auto-compaction-mode": useCompact, "recursive": "--prefix: all keys that begin with KEY", "recurse": "--prefix: all keys that begin with KEY",
	"output": "-w: plain, json or table", "o": "-w: plain, json or table", "format": "-w: plain, json or table", "r": "--prefix: all keys that begin with KEY",
	"sort-by": useEtcdctl, "order": useEtcdctl, "min-mod-rev": useEtcdctl, "max-mod-rev": useEtcdctl, "min-create-rev": useEtcdctl,
	"max-create-rev": useEtcdctl,
	"config-file":    useConfigFile, "config": useConfigFile,
	"rev-only": "`-w json` has the revision", "debug": "--log-level debug, of qkv serve", "force": "del with an empty KEY asks for --all",
}

// foreignWord explains a word of another program, for the words typed; empty if the word is unknown.
func foreignWord(known map[string]string, words ...string) string {
	for n := len(words); n > 0; n-- {
		if text := known[strings.Join(words[:n], " ")]; text != "" {
			return text + "; "
		}
	}
	return ""
}
