package wire

import (
	"qkv/index/kv"
	"qkv/internal/limits"
)

func checkVerify(q *Request, _ kv.Bounds) *kv.Error {
	if rate := q.Ask.Rate; rate < limits.VerifyRateLeast || rate > limits.VerifyRateMost {
		return kv.Errorf(kv.BadRequest, "files are verified at %d to %d bytes a second, not at %d", limits.VerifyRateLeast, limits.VerifyRateMost, rate)
	}
	return nil
}
