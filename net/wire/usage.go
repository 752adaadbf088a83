package wire

import (
	"time"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// AppendUsageBody appends the body of a question for usage.
func AppendUsageBody(dst []byte, q *kv.Usage) []byte {
	flags := uint64(0)
	if q.Serializable {
		flags = flagSerializable
	}
	dst = pack.AppendBytes(pack.AppendBytes(dst, q.Prefix), q.Separator)
	return pack.AppendUint(pack.AppendUint(dst, uint64(q.Depth)), flags)
}

// readUsage reads the body, and sets the range of the keys that it covers.
func readUsage(r *pack.Reader, q *Request) {
	q.Usage = kv.Usage{Prefix: r.Bytes(), Separator: r.Bytes(), Depth: int(min(r.Uint(), depthUnknown)), Serializable: readSerializable(r)}
	q.Range = q.Usage.Range()
}

// depthUnknown is a depth over every limit, which fits an int.
const depthUnknown = 1 << 30

// usageRowHeader is the maximum size of a row without its prefix.
const usageRowHeader = 1 + 5 + 6*9

// UsageBytes bounds the answer with these rows.
func UsageBytes(rows []kv.UsageRow) int {
	size := AnswerBytes
	for i := range rows {
		size += usageRowHeader + len(rows[i].Prefix)
	}
	return size
}

// AppendUsage appends the frame with a page of usage.
func AppendUsage(dst []byte, id uint64, u *kv.UsageResult) []byte {
	guess := UsageBytes(u.Rows)
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 6), id), uint64(kv.OK))
	dst = pack.AppendBool(pack.AppendInt(pack.AppendInt(dst, u.Revision), int64(u.Period)), u.More)
	dst = pack.AppendArray(dst, len(u.Rows))
	for i := range u.Rows {
		row := &u.Rows[i]
		dst = pack.AppendBytes(pack.AppendArray(dst, usageRowFields), row.Prefix)
		for _, n := range []int64{row.Keys, row.Bytes, row.Leased, row.Versions, row.History, row.Changes} {
			dst = pack.AppendInt(dst, n)
		}
	}
	return endFrame(dst, start, guess)
}

const usageRowFields = 7

// Usage reads a page of usage. The rows' prefixes are parts of the frame.
func (p *Response) Usage() (u kv.UsageResult, err error) {
	r, s := p.body(4, 4)
	u.Revision, u.Period, u.More = r.Int(), time.Duration(r.Int()), r.Bool()
	u.Rows = readArray(&r, readUsageRow)
	return u, p.end(&r, s)
}

func readUsageRow(r *pack.Reader) kv.UsageRow {
	s := r.Struct(usageRowFields)
	row := kv.UsageRow{Prefix: r.Bytes(), Keys: r.Int(), Bytes: r.Int(), Leased: r.Int(), Versions: r.Int(), History: r.Int(), Changes: r.Int()}
	r.End(s)
	return row
}
