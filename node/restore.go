package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"slices"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/wire"
)

// RestoreConfig is the configuration of Restore.
type RestoreConfig struct {
	DataDir  string // must not exist, or be empty
	Name     string
	CertsDir string             // as Config's
	Secret   *wire.SecretSource // as Config's
	Founders []string           // names of all members of the new cluster, this one included; none: this member alone
	// Token distinguishes clusters of the same founders that are restored from the same state.
	Token   string
	Version string
	// Branch goes on with the revisions of the backup. Otherwise the cluster takes the old one's place, and begins far above them.
	Branch bool
	Logger *slog.Logger
	wall   int64 // the present, in nanoseconds since 1970; 0: not known
}

// Made is the new member whose data folder was made.
type Made struct {
	Cluster, Member uint64
	state           *index.State
}

const restoringSuffix = ".restoring"

func (c *RestoreConfig) domain() (domain, issuer string, err error) {
	if err := kv.CheckName(c.Name); err != nil {
		return "", "", usagef("--name: %v", err)
	}
	if len(c.Founders) > 0 && !slices.Contains(c.Founders, c.Name) {
		return "", "", usagef("--initial-cluster does not name this member, %s: every member's list must hold all members, itself included", c.Name)
	}
	return domainOf(c.CertsDir, c.Secret, c.Name)
}

// A Fill returns the state of a new data folder. It may keep parts of the state in the folder's snapshots, which it makes: those of the state's
// Shelf.
type Fill func(files disk.FS, dir string) (*index.State, error)

// Restore makes the data folder of a member of a new cluster that begins with a state from a backup, and changes the state. A
// configuration that cannot work is refused before fill is called. All ids are new, so members and watchers of the old cluster cannot take
// the new one for theirs. A lone member's ids are random. Several founders are restored each on its own host, from the same moment: their
// ids follow from the state, the token and the names, and the same state gives the same log to all.
func Restore(c RestoreConfig, fill Fill) (Made, error) {
	domain, issuer, err := c.domain()
	if err != nil {
		return Made{}, err
	}
	if issuer != "" { // founders that were restored with different secrets get different clusters, as in trust.derive
		c.Token += " " + issuer
	}
	c.wall = time.Now().UnixNano()
	return restoreOn(c, domain, disk.OS(), rand.Reader, limits.Defaults(), fill)
}

// restoreOn is Restore on a disk.
func restoreOn(c RestoreConfig, domain string, disks disk.FS, random io.Reader, l limits.Tunable, fill Fill) (made Made, err error) {
	to := &folder{fs: disks, dir: path.Clean(c.DataDir)}
	building, err := to.building(restoringSuffix)
	if err != nil {
		return Made{}, err
	}
	s := storage{
		folder: &folder{fs: disks, dir: building},
		random: random, limits: l, segmentBytes: limits.SegmentBytes, version: c.Version, logger: c.Logger,
	}
	err = s.build(to.dir, func() error {
		state, err := fill(disks, s.folder.path("snap"))
		if err != nil {
			return err
		}
		applied, term := state.Applied()
		if applied < foundingIndex || term < foundingTerm {
			return errors.New("the state is that of a cluster that was never founded")
		}
		token := fmt.Sprintf("restored %s %016x %d", c.Token, state.View().Digest(), applied)
		founders := c.Founders
		if len(founders) == 0 {
			founders, token = []string{c.Name}, fmt.Sprintf("%s %016x", token, s.salt())
		}
		if len(founders) > 1 {
			c.wall = 0 // each restores at another time, and needs the same state
		}
		first := originOf(domain, token, c.Name, founders)
		s.folder.Cluster, s.folder.Founding = first.cluster, first.founding
		state.Refound(first.cluster, s.folder.founders(), c.wall)
		if !c.Branch {
			state.SkipRevisions(c.wall)
		}
		made = Made{Cluster: first.cluster, Member: first.self, state: state}
		// several may have restored from different bases, and need the same extents
		return s.make(state, first, len(founders) == 1)
	})
	if err == nil {
		s.made.Moved(to.path("snap")).Attach(made.state)
	}
	return made, err
}
