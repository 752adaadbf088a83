// Package keys has the commands that read and write keys, their history and their leases: put, get, del, txn, watch,
// lease, lock, elect, compact, import, export, du, history, diff, revert and log. Each command has a file. A command
// reads its line into a request of net/client, and makes an answer of package form from what comes back (pairs.go for
// keys with values). It has no state of its own, and no goroutine outlives it.
package keys

import (
	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

// Commands returns the commands of this package.
func Commands() []*cli.Command {
	return form.Commands(form.Calls{
		"put": put, "get": get, "del": del, "txn": txn, "watch": watch, "compact": compact,
		"lease grant": leaseGrant, "lease revoke": leaseRevoke, "lease keep-alive": leaseKeepAlive,
		"lease timetolive": leaseTimeToLive, "lease list": form.Asking(leaseList),
		"lock": lock, "elect": elect, "import": importKeys, "export": exportKeys, "du": du,
		"history": printHistory, "diff": diff, "revert": revert, "log": printLog,
	}, "{point}", pointUsage)
}
