package backup

import (
	"errors"
	"fmt"

	"qkv/internal/damage"
	"qkv/internal/limits"
)

// Verified is the result for one base and the log behind it.
type Verified struct {
	Base     Base
	Fault    error // of the base; nil: it was loaded, and its digest is that of the manifest
	Replayed bool  // the log behind it was applied; otherwise an earlier base's log led to it
	Index    uint64
	Revision int64
	Wall     int64
	Log      error // damage that ends the log; nil: none
	Gap      error // the entries that the backup lacks behind it; nil: none
}

// Verify restores every base into memory, one at a time, and applies the log behind it. Each state is compared with its
// digest, and so is the state to which the log leads where the backup has a base. The result is told to report, base by
// base. It returns an error if anything is damaged.
func (r *Reader) Verify(l limits.Index, progress func(done, total int64), report func(*Verified)) error {
	faults := len(r.Faults)
	covered := uint64(0)
	for i := range r.Bases {
		v := &Verified{Base: r.Bases[i]}
		w := r.newWork(&v.Base, l, progress)
		var got *Restored
		var err error
		if v.Replayed = v.Base.Index >= covered; v.Replayed {
			got, err = w.run(At{})
		} else {
			_, err = w.load()
		}
		switch {
		case err == nil:
		case errors.Is(err, ErrGap):
			v.Gap = err
		case got != nil && (damaged(err) || errors.Is(err, errDiffers)):
			v.Log = err
		case got == nil && damaged(err):
			v.Fault = err
		default:
			return err
		}
		if got != nil {
			covered = got.Index + 1
			v.Index, v.Revision, v.Wall = got.Index, got.Revision, got.Wall
		}
		if v.Fault != nil || v.Log != nil {
			faults++
		}
		report(v)
	}
	if len(r.Bases) == 0 {
		return fmt.Errorf("%w: it has no intact base", damage.ErrDamaged)
	}
	if faults > 0 {
		return fmt.Errorf("%w: %d faults were found", damage.ErrDamaged, faults)
	}
	return nil
}
