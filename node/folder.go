package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"

	"qkv/actor"
	"qkv/index"
	"qkv/internal/limits"
	"qkv/internal/pack"
	"qkv/log"
	"qkv/log/disk"
)

// A data folder:
//
//	LOCK             held by the process that uses it
//	identity         whose folder it is, and by whom it was started
//	amnesia          why this member takes no part; nothing while it does
//	peers            what is known of the other members' folders
//	callers          where other members have called from, when the log did not say so
//	wal/             the log
//	snap/            snapshots
//	quarantine/      damaged snapshots, for a closer look
//	certs/           this member's key, if the local CA made it
//	etcd-snapshot/   the file of a snapshot for etcd, while it is made (package net/etcd)
//	EMULATED         marks the folder of a member on an emulated disk (emulated.go), which no other member uses
//
// identity, amnesia and peers are small files as slots.go draws them, made with the folder and written in place. identity
// is a msgpack array:
//
//	[format version, cluster, member, name, folder id, boot counter, stateless reset key, processes of the last starts,
//	 [trust domain, token, name of each founder ...], removed]
//
// What the cluster was founded with is the trust domain alone in the folder of a member that joined later; one that was
// removed never starts again.
//
// and peers and amnesia are
//
//	[format version, [member, folder id, boot counter, process, entry that it owes or 0] ...]
//	[format version, member on whose word alone or 0, reason, whether its state differs and nothing was forgotten]
//
// callers is a file of the same kind, made when there is something to write in it, and nothing but a help: without it, or
// where it is wrong, the log and the flags say who is where.
//
//	[format version, [member, address] ...]
//
// A new folder is founded in an order that a crash can end anywhere: peers and amnesia, identity with boot counter 0, then
// the log, then boot counter 1. With a counter above 0 the log must be there. From then on a start writes nothing that takes
// room on the disk, but for a log that has to begin a segment, and that waits for room as any other time. So a folder with an
// identity and without amnesia is damaged: what was decided is lost.
type folder struct {
	fs   disk.FS
	dir  string
	lock io.Closer
	identity
}

type identity struct {
	Cluster, Member uint64
	Name            string
	Folder          [16]byte
	Boot            uint64
	ResetKey        [32]byte
	Past            []byte   // as actor.MemberIdentity's
	Founding        []string // as origin.founding
	Removed         bool     // from the cluster
}

// founders are the members that the cluster began with; none in the folder of one that joined later.
func (i *identity) founders() index.Members {
	ids := map[string]uint64{}
	if len(i.Founding) > 2 {
		for _, name := range i.Founding[2:] {
			ids[name] = founderID(i.Cluster, name)
		}
	}
	return index.Founders(ids)
}

const (
	identityVersion  = 1
	identityFields   = 10
	quarantineFields = 4
	knownFields      = 5
	callerFields     = 2
)

func (i identity) encode() []byte {
	b := pack.AppendArray(nil, identityFields)
	b = pack.AppendUint(b, identityVersion)
	b = pack.AppendUint(b, i.Cluster)
	b = pack.AppendUint(b, i.Member)
	b = pack.AppendString(b, i.Name)
	b = pack.AppendBytes(b, i.Folder[:])
	b = pack.AppendUint(b, i.Boot)
	b = pack.AppendBytes(b, i.ResetKey[:])
	b = pack.AppendBytes(b, i.Past)
	b = pack.AppendArray(b, len(i.Founding))
	for _, part := range i.Founding {
		b = pack.AppendString(b, part)
	}
	return pack.AppendBool(b, i.Removed)
}

func decodeIdentity(b []byte) (i identity, err error) {
	r := pack.NewReader(b)
	elements, version := r.Array(), r.Uint()
	if r.Err() == nil && version != identityVersion {
		return i, usagef("the data folder has format %d, this qkv reads format %d: use the version that wrote it, or a newer one", version, identityVersion)
	}
	if elements != identityFields {
		return i, fmt.Errorf("it has %d fields, not %d", elements, identityFields)
	}
	i.Cluster, i.Member, i.Name = r.Uint(), r.Uint(), r.String()
	id := r.Bytes()
	i.Boot = r.Uint()
	key := r.Bytes()
	i.Past = bytes.Clone(r.Bytes())
	for range r.Array() {
		if r.Err() != nil {
			break
		}
		i.Founding = append(i.Founding, r.String())
	}
	i.Removed = r.Bool()
	if len(i.Founding) == 0 || copy(i.Folder[:], id) != 16 || copy(i.ResetKey[:], key) != 32 || len(i.Past)%8 != 0 || len(i.Past) > limits.PeerPastBytes {
		return i, errors.New("an id has the wrong length")
	}
	return i, r.Done()
}

func (f *folder) path(name string) string { return f.dir + "/" + name }

// owner is whose a data folder must be: it holds nothing else against it.
type owner struct{ name, trustDomain string }

// openFolder locks a data folder and reads whose it is; a new one begins with what begin says.
func openFolder(disks disk.FS, dir string, who owner, begin func() (origin, error), random io.Reader) (*folder, error) {
	f := &folder{fs: disks, dir: dir}
	if err := f.notRecovering(); err != nil {
		return nil, err
	}
	if err := disks.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("make the data folder %s: %w", dir, err)
	}
	if err := f.acquire(); err != nil {
		return nil, err
	}
	if err := f.load(who, begin, random); err != nil {
		f.lock.Close()
		return nil, err
	}
	return f, nil
}

// acquire takes the folder's lock.
func (f *folder) acquire() (err error) {
	f.lock, err = f.fs.Lock(f.path("LOCK"))
	if errors.Is(err, disk.ErrLocked) {
		return fmt.Errorf("the data folder %s is in use by another process: stop that one first, or give another --data-dir", f.dir)
	}
	if err != nil {
		return fmt.Errorf("lock the data folder %s: %w", f.dir, err)
	}
	return nil
}

func (f *folder) load(who owner, begin func() (origin, error), random io.Reader) error {
	err := f.identify(who)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := f.isNew(); err != nil {
		return err
	}
	first, err := begin()
	if err != nil {
		return err
	}
	return f.found(first, random)
}

// refuseForeign refuses a data folder that is not this member's, or in use, before anything is made in it. A new one is
// nobody's.
func refuseForeign(disks disk.FS, dir string, who owner) error {
	f := &folder{fs: disks, dir: dir}
	err := f.identify(who)
	if errors.Is(err, fs.ErrNotExist) {
		return f.notRecovering()
	}
	if busy := f.acquire(); busy != nil {
		return busy
	}
	return errors.Join(err, f.lock.Close())
}

// whose reads whose folder it is.
func (f *folder) whose() error {
	raw, err := f.read("identity")
	if err != nil && !isDamaged(err) {
		return fmt.Errorf("read %s: %w", f.path("identity"), err)
	}
	if err == nil {
		f.identity, err = decodeIdentity(raw)
	}
	if err != nil {
		var refused *UsageError
		if errors.As(err, &refused) {
			return err
		}
		return damagedf("%s is corrupt: %v; without it this member must not vote: put back this folder exactly as it was; the README says under \"When a member has lost its disk\" what else is left", f.path("identity"), err)
	}
	return nil
}

// identify reads whose folder it is, and refuses another one's.
func (f *folder) identify(who owner) error {
	if err := f.whose(); err != nil {
		return err
	}
	if f.Name != who.name {
		return usagef("the data folder %s belongs to the member %s (%016x), this is %s: give the right --data-dir or --name", f.dir, f.Name, f.Member, who.name)
	}
	if domain := f.Founding[0]; domain != who.trustDomain {
		return usagef("the data folder %s is of a member of the cluster %s, and the certificates are of %s: give the right --certs-dir, or another --data-dir", f.dir, domain, who.trustDomain)
	}
	if f.Removed {
		return fmt.Errorf("%w: give another --data-dir, or move %s away", actor.ErrRemoved, f.dir)
	}
	return nil
}

// isDamaged tells whether the error of reading a small file says that it is not what was written.
func isDamaged(err error) bool {
	return errors.Is(err, errChecksum) || errors.Is(err, disk.ErrNotRegular)
}

// damaged says what is wrong with a file beside the log. It is log.ErrCorrupt to errors.Is.
type damaged string

func damagedf(format string, values ...any) error { return damaged(fmt.Sprintf(format, values...)) }

func (d damaged) Error() string { return string(d) }

func (d damaged) Is(target error) bool { return target == log.ErrCorrupt }

// isNew refuses a folder that holds a log but no identity.
func (f *folder) isNew() error {
	for _, name := range []string{"wal", "snap"} {
		if names, err := f.fs.List(f.path(name)); err == nil && len(names) > 0 {
			return damagedf("corrupt data folder: %s holds data but %s is missing: put back that file; the README says under \"When a member has lost its disk\" what else is left", f.path(name), f.path("identity"))
		}
	}
	return nil
}

// found makes the identity of a new folder.
func (f *folder) found(first origin, random io.Reader) error {
	f.identity = identity{Cluster: first.cluster, Member: first.self, Name: first.name, Founding: first.founding}
	if _, err := io.ReadFull(random, f.Folder[:]); err != nil {
		return fmt.Errorf("make a folder id: %w", err)
	}
	if _, err := io.ReadFull(random, f.ResetKey[:]); err != nil {
		return fmt.Errorf("make a reset key: %w", err)
	}
	if err := f.anchor(); err != nil {
		return fmt.Errorf("make the folder %s durable: %w", f.dir, err)
	}
	if err := errors.Join(f.remember(nil), f.quarantine(actor.Quarantine{})); err != nil {
		return err
	}
	return f.publish()
}

// anchor makes the folder's own name durable, and those of the folders above it, any of which may be new: what is
// synced inside of a folder is lost with the folder's name. One that may not be read was not made by this process.
func (f *folder) anchor() error {
	for dir := path.Clean(f.dir); dir != "." && dir != "/"; {
		dir = path.Dir(dir)
		if err := f.fs.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// boot counts this start, and notes whose it is.
func (f *folder) boot(process [16]byte) error {
	f.Boot++
	past := append(bytes.Clone(f.Past), process[:8]...)
	f.Past = past[max(len(past)-limits.PeerPastBytes, 0):]
	return f.publish()
}

// remove notes that this folder's member was removed from its cluster.
func (f *folder) remove() error {
	f.Removed = true
	return f.publish()
}

// quarantined reads why this folder's member takes no part.
func (f *folder) quarantined() (q actor.Quarantine, err error) {
	raw, err := f.read("amnesia")
	if errors.Is(err, fs.ErrNotExist) || isDamaged(err) {
		return q, damagedf("%s is missing or corrupt: %v; it says whether this member must not vote: put back this folder exactly as it was; the README says under \"When a member has lost its disk\" what else is left", f.path("amnesia"), err)
	}
	if err != nil {
		return q, fmt.Errorf("read %s: %w", f.path("amnesia"), err)
	}
	r := pack.NewReader(raw)
	fields, version := r.Array(), r.Uint()
	if r.Err() == nil && (version != identityVersion || fields != quarantineFields) {
		return q, usagef("%s has format %d, this qkv reads format %d: use the version that wrote it, or a newer one", f.path("amnesia"), version, identityVersion)
	}
	q.By, q.Reason, q.Differs = r.Uint(), r.String(), r.Bool()
	return q, r.Done()
}

// quarantine makes durable whether this folder's member takes part.
func (f *folder) quarantine(q actor.Quarantine) error {
	b := pack.AppendUint(pack.AppendUint(pack.AppendArray(nil, quarantineFields), identityVersion), q.By)
	b = pack.AppendString(b, q.Reason[:min(len(q.Reason), limits.QuarantineReasonBytes)])
	return f.write("amnesia", pack.AppendBool(b, q.Differs))
}

// known reads what is known of the other members. Without the file nothing is known beyond what the log says.
func (f *folder) known() ([]actor.Known, error) {
	raw, err := f.read("peers")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if isDamaged(err) {
		return nil, damagedf("%s is corrupt: %v; it tells this member who has lost data: restore it, or remove it when no other member's folder was replaced", f.path("peers"), err)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.path("peers"), err)
	}
	r := pack.NewReader(raw)
	n, version := r.Array(), r.Uint()
	if r.Err() == nil && version != identityVersion {
		return nil, usagef("%s has format %d, this qkv reads format %d: use the version that wrote it, or a newer one", f.path("peers"), version, identityVersion)
	}
	var all []actor.Known
	for i := 1; i < n && r.Err() == nil; i++ {
		r.ArrayOf(knownFields)
		k := actor.Known{Member: r.Uint()}
		folder := r.Bytes()
		k.Boot = r.Uint()
		process := r.Bytes()
		k.Owed = r.Uint()
		if copy(k.Folder[:], folder) != 16 || copy(k.Process[:], process) != 16 {
			r.Fail("an id has 16 bytes")
		}
		all = append(all, k)
	}
	return all, r.Done()
}

// remember writes what is known of the other members.
func (f *folder) remember(all []actor.Known) error {
	b := pack.AppendUint(pack.AppendArray(nil, 1+len(all)), identityVersion)
	for _, k := range all {
		b = pack.AppendUint(pack.AppendArray(b, knownFields), k.Member)
		b = pack.AppendBytes(b, k.Folder[:])
		b = pack.AppendUint(b, k.Boot)
		b = pack.AppendBytes(b, k.Process[:])
		b = pack.AppendUint(b, k.Owed)
	}
	return f.write("peers", b)
}

// callers reads where other members have called from.
func (f *folder) callers() (map[uint64]string, error) {
	raw, err := f.read("callers")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := pack.NewReader(raw)
	n, version := r.Array(), r.Uint()
	if r.Err() == nil && version != identityVersion {
		return nil, fmt.Errorf("it has format %d, this qkv reads format %d", version, identityVersion)
	}
	all := map[uint64]string{}
	for i := 1; i < n && r.Err() == nil; i++ {
		r.ArrayOf(callerFields)
		id := r.Uint()
		all[id] = r.String()
	}
	return all, r.Done()
}

// rememberCallers writes where other members have called from.
func (f *folder) rememberCallers(all map[uint64]string) error {
	b := pack.AppendUint(pack.AppendArray(nil, 1+len(all)), identityVersion)
	for _, id := range slices.Sorted(maps.Keys(all)) {
		b = pack.AppendString(pack.AppendUint(pack.AppendArray(b, callerFields), id), all[id])
	}
	return f.write("callers", b)
}

func (f *folder) publish() error { return f.write("identity", f.encode()) }
