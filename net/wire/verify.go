package wire

import (
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// AppendVerifyBody appends the body of a request for a verification of the member's files.
func AppendVerifyBody(dst []byte, run uint64, rate int64) []byte {
	return pack.AppendInt(pack.AppendUint(dst, run), rate)
}

func readVerify(r *pack.Reader, q *Request) { q.Backup = &BackupRequest{Run: r.Uint(), Rate: r.Int()} }

func checkVerify(q *Request, _ kv.Bounds) *kv.Error {
	if rate := q.Backup.Rate; rate < limits.VerifyRateLeast || rate > limits.VerifyRateMost {
		return kv.Errorf(kv.BadRequest, "files are verified at %d to %d bytes a second, not at %d", limits.VerifyRateLeast, limits.VerifyRateMost, rate)
	}
	return nil
}

// damagedFileHeader is the maximum size of a damaged file without its texts.
const damagedFileHeader = 1 + 3*5

// VerifiedBytes bounds the answer with the progress of a verification.
func VerifiedBytes(v *kv.Verified) int {
	size := AnswerBytes + 3*9 + 1 + 5
	for _, f := range v.Damaged {
		size += damagedFileHeader + len(f.Name) + len(f.Reason) + len(f.Help)
	}
	return size
}

// AppendVerified appends the frame with the progress of a verification.
func AppendVerified(dst []byte, id uint64, v *kv.Verified) []byte {
	guess := VerifiedBytes(v)
	dst, start := beginAnswer(dst, id, 5, guess)
	dst = pack.AppendInt(pack.AppendInt(pack.AppendBool(pack.AppendUint(dst, v.Run), v.Done), v.Files), v.Bytes)
	dst = pack.AppendArray(dst, len(v.Damaged))
	for _, f := range v.Damaged {
		dst = pack.AppendString(pack.AppendString(pack.AppendString(pack.AppendArray(dst, damagedFileFields), f.Name), f.Reason), f.Help)
	}
	return endFrame(dst, start, guess)
}

const damagedFileFields = 3

// Verified reads the progress of a verification.
func (p *Response) Verified() (v kv.Verified, err error) {
	r, s := p.body(5, 5)
	v = kv.Verified{Run: r.Uint(), Done: r.Bool(), Files: r.Int(), Bytes: r.Int()}
	v.Damaged = readArray(&r, func(r *pack.Reader) kv.DamagedFile {
		s := r.Struct(damagedFileFields)
		f := kv.DamagedFile{Name: r.String(), Reason: r.String(), Help: r.String()}
		r.End(s)
		return f
	})
	return v, p.end(&r, s)
}
