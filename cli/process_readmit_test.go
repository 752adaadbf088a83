package cli

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// TestProcessReadmit: a suspension is lifted by an operator only, who is told what that risks, and is not lifted for long
// while the others still refuse the member.
func TestProcessReadmit(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 3)
	c.qkv("put", "key", "before").exits(t, form.ExitOK)
	c.level()
	m := c.members[2]
	c.qkv("member", "readmit", m.name, "--yes").exits(t, form.ExitCondition, m.name, "is not suspended", "nothing was changed")
	c.qkv("member", "readmit", "n9", "--yes").exits(t, form.ExitNotFound, "no member is called n9")
	m.kill()
	must(t, os.RemoveAll(m.dataDir))
	m.start()
	refused := func() {
		t.Helper()
		c.await(m.name+" is refused", func(members []cluster.MemberStatus) bool { return members[2].State == cluster.RoleSuspended })
	}
	refused()
	c.qkv("member", "readmit", m.name).exits(t, form.ExitUsage, "acknowledged writes may be lost", "--yes", "nothing was changed")
	c.qkv("member", "readmit", m.name, "--yes").exits(t, form.ExitFailed, "was lifted, and others have suspended it again")
	refused()

	// The others begin anew, too, and it forgets what it knows of them: now nobody refuses anybody, but it takes no part
	// until it is told to.
	m.kill()
	must(t, os.WriteFile(filepath.Join(m.dataDir, "peers"), emptyPeers(), 0o600))
	for _, other := range c.others(m) {
		other.kill()
		must(t, os.RemoveAll(other.dataDir))
	}
	for _, member := range c.members {
		member.start()
	}
	c.qkv("put", "key", "after", "--timeout", processWait.String()).exits(t, form.ExitOK)
	refused()
	c.qkv("member", "readmit", m.name, "--yes").exits(t, form.ExitOK)
	c.level()
	if got := c.qkv("get", "key", "--endpoints", m.listen, "--timeout", processWait.String()).exits(t, form.ExitOK); got.stdout != "after\n" {
		t.Errorf("it is %q", got.stdout)
	}
	m.kill()
	m.start()
	c.level() // also after a restart
}

// emptyPeers is the peers file of a member that knows nothing of the others: node/slots.go is its format.
func emptyPeers() []byte {
	half := make([]byte, limits.FolderFileBytes)
	format := damage.Format{Magic: "qkvslot\n", Version: 1}
	format.Append(half[:0], 0, 1, []byte{0x80}) // a map without fields
	return slices.Concat(half, half)
}
