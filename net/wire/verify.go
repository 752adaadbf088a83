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
