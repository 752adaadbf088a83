package snapshot

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/pack"
	"qkv/log/disk"
)

// Salvaged is the sound rest of a snapshot whose parts are damaged or missing.
type Salvaged struct {
	Meta
	State  *index.State // without history; its digest is not that of the head
	Had    int64        // how many keys the whole snapshot has
	Places []LostPlace
	Keys   []LostKey // by key, as far as damaged bytes name them
}

// LostPlace is damage of a part file. A range file has lost keys between two others, of revisions up to Last. An extent has lost changes
// of any keys, of the revisions First to Last.
type LostPlace struct {
	Part          Part
	Err           error
	Records       int64  // at most so many keys or changes; -1: unknown
	After, Before []byte // of a range file; nil: no bound
	First, Last   int64
}

// LostKey is a key with the newest revision at which it is known to have had a version that is lost.
type LostKey struct {
	Key      []byte
	Revision int64
}

// Salvage builds a state from all blocks of a snapshot's parts whose checksums are right. The snapshot's own file must be sound. Each key has its
// newest version that can be read.
func Salvage(fs disk.FS, info Info, l limits.Index) (*Salvaged, error) {
	f, err := fs.Open(info.Path)
	if err != nil {
		return nil, fmt.Errorf("salvage snapshot: %w", err)
	}
	defer f.Close()
	s := &salvage{fs: fs, dir: parent(info.Path), limits: l, got: &Salvaged{Meta: info.Meta}}
	if _, _, err = read(info.Path, f, nil, s); err != nil {
		return nil, err
	}
	state, had, ended, err := s.builder.FinishSalvage()
	if err != nil {
		return nil, fmt.Errorf("salvage snapshot %s: %w", info.Path, err)
	}
	for _, one := range ended {
		s.got.Keys = append(s.got.Keys, LostKey{one.Key, one.Mod})
	}
	slices.SortStableFunc(s.got.Keys, func(a, b LostKey) int {
		return cmp.Or(bytes.Compare(a.Key, b.Key), cmp.Compare(b.Revision, a.Revision))
	})
	s.got.Keys = slices.CompactFunc(s.got.Keys, func(a, b LostKey) bool { return bytes.Equal(a.Key, b.Key) })
	s.got.State, s.got.Had = state, had
	return s.got, nil
}

// salvage is one call of Salvage.
type salvage struct {
	fs      disk.FS
	dir     string
	limits  limits.Index
	builder *index.Builder
	got     *Salvaged
	bounded int    // the places from here on wait for the first record behind them
	last    []byte // the newest key of a range file
	mod     int64  // the newest revision of an extent
}

func (s *salvage) open(m Meta, state []byte) (err error) {
	if s.builder, err = index.NewSalvage(index.NewReserve(), state, s.limits); err != nil {
		return err
	}
	for _, p := range m.Parts {
		s.mod = max(s.mod, p.From)
		if err := s.part(p); err != nil {
			return err
		}
	}
	s.bounded = len(s.got.Places)
	return nil
}

func (s *salvage) key(key []byte, versions []index.Version) error {
	for ; s.bounded < len(s.got.Places); s.bounded++ {
		s.got.Places[s.bounded].Before = bytes.Clone(key)
	}
	s.last = append(s.last[:0], key...)
	return s.builder.Salvage(key, &versions[len(versions)-1])
}

func (s *salvage) changes(all []index.KeyedVersion) error {
	if len(all) == 0 {
		return nil
	}
	for ; s.bounded < len(s.got.Places); s.bounded++ {
		s.got.Places[s.bounded].Last = min(s.got.Places[s.bounded].Last, all[0].Mod)
	}
	for i := range all {
		if err := s.builder.Salvage(all[i].Key, &all[i].Version); err != nil {
			return err
		}
	}
	s.mod = all[len(all)-1].Mod
	return nil
}

// part adds the sound blocks of a part. An error is not of this part's damage.
func (s *salvage) part(p Part) error {
	path := join(s.dir, p.Name())
	f, err := s.fs.Open(path)
	if err = missingIsDamage(path, err); err == nil {
		defer f.Close()
		err = verifyName(path, f, p)
	}
	if err != nil {
		return s.lose(p, err, -1)
	}
	w, err := walk(path, f, nil, readWindow)
	if err != nil {
		return s.lose(p, err, -1)
	}
	left := int64(-1)
	if t, err := readTailOf(path, f); err == nil {
		left = int64(t.keys)
	}
	d := decoder{add: s.key, replay: s.changes}
	for {
		b, err := w.block()
		if b.kind == 0 {
			return s.lose(p, err, left)
		}
		if b.kind == kindTail {
			return nil
		}
		if b.kind != kindKeys && b.kind != kindChanges {
			continue
		}
		if left >= 0 {
			left = max(left-int64(b.records), 0)
		}
		decode, refused := d.block, error(nil)
		if b.kind == kindChanges {
			decode = d.changes
		}
		if err == nil {
			err, refused = decode(&b)
			err = damage.Of(path, b.at+headerBytes, err)
		}
		if refused != nil {
			return fmt.Errorf("part %s, block %d: %w", path, b.number, refused)
		}
		if err != nil {
			if err = s.lose(p, err, int64(b.records)); err == nil {
				err = s.endSplit(&d)
			}
			s.name(b)
		}
		if err != nil {
			return err
		}
	}
}

// endSplit adds the versions of a key that continues in a damaged block.
func (s *salvage) endSplit(d *decoder) (err error) {
	if d.split {
		s.got.Keys = append(s.got.Keys, LostKey{bytes.Clone(d.last), d.versions[len(d.versions)-1].Mod + 1})
		err = s.builder.Salvage(d.last, &d.versions[len(d.versions)-1])
	}
	d.split, d.last, d.all = false, nil, nil
	return err
}

// verifyName returns an error if a file that has all its headers is another part. The SHA-256 of a name does not cover payloads.
func verifyName(path string, f disk.File, p Part) error {
	w, err := walk(path, f, sha256.New(), readWindow)
	for b := (block{header: header{kind: kindHead}}); err == nil && b.kind != 0; {
		if b, _ = w.block(); b.kind == kindTail && [32]byte(w.sum.Sum(nil)) != p.SHA {
			return damage.At(path, 0, "it is not the part that its name says")
		}
	}
	return err
}

// lose notes a place. Damage side by side is one place. A file that is not damaged, but of a newer qkv, is an error.
func (s *salvage) lose(p Part, why error, records int64) error {
	if errors.Is(why, damage.ErrFormat) {
		return why
	}
	if n := len(s.got.Places); s.bounded < n && s.got.Places[n-1].Part == p {
		if last := &s.got.Places[n-1]; records < 0 { // the rest of the part is lost
			last.Records = -1
		} else {
			last.Records += records
		}
		return nil
	}
	s.got.Places = append(s.got.Places, LostPlace{Part: p, Err: why, Records: records, First: s.mod, Last: p.To})
	if n := len(s.got.Places); p.Number == 0 && s.last != nil {
		s.got.Places[n-1].After = bytes.Clone(s.last)
	}
	return nil
}

// name notes the keys of a damaged block, as far as its records can be read.
func (s *salvage) name(b block) {
	r := pack.NewReader(b.payload)
	for range b.records {
		record := r.Struct(recordFields)
		key, one := bytes.Clone(r.Bytes()), index.Version{}
		if r.Err() != nil || len(key) == 0 || len(key) > limits.KeyBytes {
			return
		}
		for n := r.Array(); n > 0 && r.Err() == nil; n-- {
			readVersion(&r, &one)
		}
		r.End(record)
		s.got.Keys = append(s.got.Keys, LostKey{key, one.Mod})
		if r.Err() != nil {
			return
		}
	}
}
