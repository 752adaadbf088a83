package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"strconv"
)

// sum is the SHA-256 of a line with its newline.
type sum [sha256.Size]byte

func (s sum) String() string { return hex.EncodeToString(s[:]) }

// chain is a position in the chain of lines. The zero value is before the first line of all.
//
//  1. last is the hash of the line seq, the newest line of the chain.
//  2. torn is the number of bytes after that line that do not continue the chain, and region their hash. A line of the operation
//     "audit torn" that tells both continues the chain behind them.
type chain struct {
	seq    int64
	last   sum
	torn   int64
	region hash.Hash // nil while torn is 0
}

// appendLine appends the line of a body, which appendBody has made.
func (c *chain) appendLine(dst, body []byte) []byte { return c.appendAfter(dst, body, c.last) }

// appendAfter appends the line of a body that continues the chain behind the bytes with that hash.
func (c *chain) appendAfter(dst, body []byte, prev sum) []byte {
	begin := len(dst)
	dst = append(append(dst, body...), `,"seq":`...)
	dst = strconv.AppendInt(dst, c.seq+1, 10)
	dst = append(dst, `,"prev":"`...)
	dst = append(hex.AppendEncode(dst, prev[:]), "\"}\n"...)
	*c = chain{seq: c.seq + 1, last: sha256.Sum256(dst[begin:])}
	return dst
}

// tear adds bytes that do not continue the chain.
func (c *chain) tear(raw []byte) {
	if c.torn == 0 {
		c.region = sha256.New()
	}
	c.torn += int64(len(raw))
	_, _ = c.region.Write(raw) // a hash takes everything
}

// add takes the next bytes of a file: a line with its newline. It returns the line, nil if it is none, and whether it continues the chain.
func (c *chain) add(raw []byte) (one *Line, continues bool) {
	one, whole := ParseLine(raw)
	switch {
	case one == nil || !whole || one.Seq != c.seq+1:
	case c.torn == 0 && one.Prev == c.last.String(),
		c.torn > 0 && one.Torn == c.torn && one.After == c.last.String() && one.Prev == sum(c.region.Sum(nil)).String():
		*c = chain{seq: one.Seq, last: sha256.Sum256(raw)}
		return one, true
	}
	c.tear(raw)
	return one, false
}

// resumeAt begins the chain anew with a line, whatever was before it.
func (c *chain) resumeAt(raw []byte, one *Line) { *c = chain{seq: one.Seq, last: sha256.Sum256(raw)} }

// ParseLine reads a line. It returns nil if the text is no line of an audit log, and whether it has its newline.
func ParseLine(raw []byte) (one *Line, whole bool) {
	one = new(Line)
	if json.Unmarshal(raw, one) != nil || one.Seq < 1 || len(one.Prev) != 2*sha256.Size || one.Operation == "" {
		return nil, false
	}
	return one, raw[len(raw)-1] == '\n'
}
