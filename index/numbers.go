package index

import (
	"fmt"

	"qkv/internal/pack"
)

// Numbers are the numbers of a saved state that say which state it is.
type Numbers struct {
	Applied, Term uint64 // of the newest applied entry
	Revision      int64
	Compacted     int64
	Wall          int64 // the state's clock, in nanoseconds since 1970
	Level         uint64
}

// ReadNumbers reads the numbers from the output of AppendMeta, and looks at nothing else. The error wraps [pack.ErrNewer]
// if the format is of a newer qkv.
func ReadNumbers(meta []byte) (n Numbers, err error) {
	r := pack.NewReader(meta)
	fields, version := r.Array(), r.Uint()
	if r.Err() == nil && version != metaVersion {
		return n, fmt.Errorf("the state has format version %d, this qkv knows %d: %w", version, metaVersion, pack.ErrNewer)
	}
	if r.Array(); r.Err() == nil && fields < metaFields {
		r.Fail("a state without sections")
	}
	r.Array()
	if kind := r.Uint(); r.Err() == nil && kind != sectionNumbers {
		r.Fail("the state does not begin with its numbers")
	}
	if version := r.Uint(); r.Err() == nil && version != sectionVersion {
		return n, fmt.Errorf("section %d of the state has version %d, which this qkv does not know: %w", sectionNumbers, version, pack.ErrNewer)
	}
	content := r.Bytes()
	if r.Err() != nil {
		return n, fmt.Errorf("read the state's numbers: %w", r.Err())
	}
	r = pack.NewReader(content)
	r.Array()
	n.Applied, n.Term = r.Uint(), r.Uint()
	n.Revision, n.Compacted, n.Wall, n.Level = r.Int(), r.Int(), r.Int(), r.Uint()
	if r.Err() != nil {
		return n, fmt.Errorf("read the state's numbers: %w", r.Err())
	}
	return n, nil
}
