package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"qkv/actor"
	"qkv/index"
	"qkv/internal/codec"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// A data folder:
//
//	LOCK             held by the process that uses it
//	identity         the folder's owner, and its process starts
//	suspension       why this member takes no part; empty while it does
//	peers            known facts about the other members' folders
//	scrub            when all files were last read, and what was found
//	wal/             the log
//	snap/            snapshots
//	damaged/         damaged files that were moved aside, for a closer look
//	audit/           audit lines, if --audit-log places them here (package audit)
//	certs/           this member's key, if the local CA made it
//	etcd-snapshot/   the file of a snapshot for etcd, while it is made (package net/etcd)
//
// identity, suspension and peers are small files in the layout of slots.go, created with the folder and written in place. Package codec
// encodes their contents: identity, actor.Suspension and knownPeers. So is scrub, which may be missing. A removed member never starts again.
//
// A new folder is founded in an order that tolerates a crash at any point: peers and suspension, identity with boot counter 0, then the log,
// then boot counter 1. With a counter above 0 the log must exist. From then on a start needs no disk space, except if the log has to
// begin a segment; then it waits for space as at any other time. A folder with an identity and without suspension or peers is therefore
// damaged: a decision is lost.
type folder struct {
	fs   disk.FS
	dir  string
	lock io.Closer
	identity
}

type identity struct {
	Cluster  uint64   `msgpack:"c"`
	Member   uint64   `msgpack:"m"`
	Name     string   `msgpack:"n"`
	Folder   [16]byte `msgpack:"f"`
	Boot     uint64   `msgpack:"b"`
	ResetKey [32]byte `msgpack:"k"`
	Past     []byte   `msgpack:"p"` // as peerframe.MemberIdentity's
	// as origin.founding: trust domain, token, each founder's name; of a member that joined later, the trust domain alone
	Founding []string `msgpack:"o"`
	Removed  bool     `msgpack:"r"` // from the cluster
}

// founders returns the members at the cluster's founding; none in the folder of a member that joined later.
func (i *identity) founders() index.Members {
	ids := map[string]uint64{}
	if len(i.Founding) > 2 {
		for _, name := range i.Founding[2:] {
			ids[name] = founderID(i.Cluster, name)
		}
	}
	return index.Founders(ids)
}

func (f *folder) path(name string) string { return f.dir + "/" + name }

// owner is the required owner of a data folder; nothing else about the folder is checked.
type owner struct{ name, trustDomain string }

// etcdDomain is the trust domain of members by etcd's command line, whose certificates have none.
const etcdDomain = "etcd"

// openFolder locks a data folder and reads its owner; begin supplies the origin of a new folder.
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
	if errors.Is(err, disk.ErrNotRegular) {
		return fmt.Errorf("lock the data folder %s: %w: move that file away, and start again", f.dir, err)
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

// refuseForeign refuses a data folder that belongs to another member, or is in use, before any file is created in it. A new folder has no
// owner.
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

// whose reads the folder's owner.
func (f *folder) whose() error {
	f.identity = identity{}
	err := f.decode("identity", &f.identity)
	if err == nil && (len(f.Founding) == 0 || len(f.Past)%8 != 0 || len(f.Past) > limits.PeerPastBytes) {
		err = damage.At(f.path("identity"), 0, "its trust domain is missing, or its boot history has the wrong length")
	}
	return unread(err, "who this member is, and without it this member must not vote")
}

// decode decodes a small file.
func (f *folder) decode(name string, to any) error {
	content, err := f.read(name)
	if err == nil {
		err = damage.Of(f.path(name), 0, codec.ReadFile(content, to))
	}
	return err
}

// unread is the error of a small file that cannot be read. says names the file's decision.
func unread(err error, says string) error {
	switch {
	case errors.Is(err, damage.ErrFormat):
		return usagef("%w", err)
	case errors.Is(err, damage.ErrDamaged):
		return fmt.Errorf("%w; it says %s: %s", err, says, damage.PutBack)
	}
	return err
}

// identify reads the folder's owner, and refuses another member's folder.
func (f *folder) identify(who owner) error {
	if err := f.whose(); err != nil {
		return err
	}
	if f.Name != who.name {
		return usagef("the data folder %s belongs to the member %s (%016x), but this is %s: give the right --data-dir or --name", f.dir, f.Name, f.Member, who.name)
	}
	if domain := f.Founding[0]; f.neverStarted() && (len(f.Founding) == 3 || who.trustDomain == etcdDomain) {
		f.Founding[0] = who.trustDomain // the first start writes it
	} else if domain != who.trustDomain {
		return usagef("the data folder %s belongs to a member of the cluster %s, but the certificates belong to %s: give the right --certs-dir or cluster secret, or another --data-dir. "+
			"If `qkv restore` made the folder of one of several members, run it again with the same --certs-dir or cluster secret as `qkv serve`", f.dir, domain, who.trustDomain)
	}
	if f.Removed {
		return fmt.Errorf("%w: give another --data-dir, or move the folder %s away", actor.ErrRemoved, f.dir)
	}
	return nil
}

// neverStarted reports whether `qkv restore` or `qkv migrate` made the folder, and no member was started with it.
func (i *identity) neverStarted() bool {
	return len(i.Past) == 0 && len(i.Founding) > 1 && (strings.HasPrefix(i.Founding[1], "restored ") || strings.HasPrefix(i.Founding[1], "migrated "))
}

// isNew refuses a folder that holds a log but no identity.
func (f *folder) isNew() error {
	for _, name := range []string{"wal", "snap"} {
		if names, err := f.fs.List(f.path(name)); err == nil && len(names) > 0 {
			return damage.At(f.path("identity"), 0, "the file is missing, and %s holds data: %s", f.path(name), damage.PutBack)
		}
	}
	return nil
}

// found creates the identity of a new folder.
func (f *folder) found(first origin, random io.Reader) error {
	f.identity = identity{Cluster: first.cluster, Member: first.self, Name: first.name, Folder: first.folder, Founding: first.founding}
	if f.Folder == [16]byte{} {
		if _, err := io.ReadFull(random, f.Folder[:]); err != nil {
			return fmt.Errorf("make a folder id: %w", err)
		}
	}
	if _, err := io.ReadFull(random, f.ResetKey[:]); err != nil {
		return fmt.Errorf("make a reset key: %w", err)
	}
	if err := disk.SyncAbove(f.fs, f.dir); err != nil {
		return fmt.Errorf("make the folder %s durable: %w", f.dir, err)
	}
	if err := errors.Join(f.remember(nil), f.suspend(actor.Suspension{})); err != nil {
		return err
	}
	return f.publish()
}

// boot counts this start, and records its process.
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

// suspended reads why this folder's member takes no part.
func (f *folder) suspended() (q actor.Suspension, err error) {
	err = f.decided("suspension", "whether this member must not vote", &q)
	return q, err
}

// decided decodes a small file that was created with the identity and cannot be recreated.
func (f *folder) decided(name, says string, to any) error {
	err := f.decode(name, to)
	if errors.Is(err, fs.ErrNotExist) {
		err = damage.At(f.path(name), 0, "the file is missing")
	}
	return unread(err, says)
}

// suspensionReasonBytes bounds the stored reason of a suspension.
const suspensionReasonBytes = 2048

// suspend makes durable whether this folder's member takes part.
func (f *folder) suspend(q actor.Suspension) error {
	q.Reason = q.Reason[:min(len(q.Reason), suspensionReasonBytes)]
	return f.write("suspension", codec.Append(nil, &q))
}

// known reads the known facts about the other members.
func (f *folder) known() ([]actor.Known, error) {
	var k knownPeers
	err := f.decided("peers", "which data folders the other members have, and so whether one of them has lost its data", &k)
	return k.Known, err
}

// remember writes the known facts about the other members.
func (f *folder) remember(all []actor.Known) error {
	return f.write("peers", codec.Append(nil, &knownPeers{all}))
}

// knownPeers is the content of the file peers.
type knownPeers struct {
	Known []actor.Known `msgpack:"k"`
}

func (f *folder) publish() error { return f.write("identity", codec.Append(nil, &f.identity)) }
