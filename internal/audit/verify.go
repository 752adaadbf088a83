package audit

import (
	"fmt"
	"io"

	"qkv/log/disk"
)

// Report is what Verify has found.
type Report struct {
	Files    int     `json:"files"`
	Lines    int64   `json:"lines"`
	FirstSeq int64   `json:"first_seq"`
	LastSeq  int64   `json:"last_seq"`
	LastHash string  `json:"last_hash"` // of that line: what its successor will have as prev
	Torn     []Place `json:"torn"`      // writes that a crash has torn: no line before them is lost
	Breaks   []Place `json:"breaks"`    // where the chain breaks: at most one a file
}

// Place is a place in the files.
type Place struct {
	File string `json:"file"` // without its folder
	Line int64  `json:"line"` // from 1 on
	Text string `json:"text"`
}

// verifier follows the chain.
type verifier struct {
	report Report
	chain  chain
	file   string // of the last line
	before string // the file before it
	broken bool   // the file before ends outside the chain
	tear   *Place // the first line that does not continue the chain, while a line about a torn write may follow
	whole  bool   // no crash has torn that line
}

// Verify follows the chain over all files of an audit log, which a member may be writing. An error is one of reading.
func Verify(on disk.FS, file string) (Report, error) {
	v := verifier{report: Report{Torn: []Place{}, Breaks: []Place{}}}
	r := NewReader(on, file)
	defer r.Close()
	for {
		raw, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return v.report, err
		}
		v.report.Lines++
		if r.Line() == 1 {
			v.endFile()
			v.before, v.file = v.file, r.File()
			v.report.Files++
			v.first(raw)
		} else {
			v.add(raw, r.Line())
		}
	}
	v.endFile()
	if rest := r.rest(); len(rest) > 0 {
		v.report.Torn = append(v.report.Torn, Place{r.File(), r.Line() + 1, fmt.Sprintf("the last %d bytes are no whole line: the member is writing it, or was killed", len(rest))})
	}
	v.report.LastSeq, v.report.LastHash = v.chain.seq, v.chain.last.String()
	return v.report, nil
}

// first takes the first line of a file. If it does not continue the chain, the chain begins anew with it.
func (v *verifier) first(raw []byte) {
	one, whole := ParseLine(raw)
	switch {
	case !whole:
		v.add(raw, 1)
		return
	case v.before == "" && one.Operation != opFile:
		v.breaks(Place{v.file, 1, "the lines before it are missing: a file begins with a line of the operation " + opFile})
	case v.before == "", v.broken && one.Previous == v.before:
	default:
		expected := v.chain
		if _, continues := expected.add(raw); !continues {
			why := v.reason(one, whole)
			if one.Previous != v.before && one.Previous != "" {
				why = "the file " + one.Previous + " is missing before it"
			}
			v.breaks(Place{v.file, 1, why})
		}
	}
	v.chain.resumeAt(raw, one)
	if v.report.FirstSeq == 0 {
		v.report.FirstSeq = one.Seq
	}
}

// add takes a line.
func (v *verifier) add(raw []byte, at int64) {
	_, whole := ParseLine(raw)
	before := v.chain
	one, continues := v.chain.add(raw)
	switch {
	case continues && v.tear != nil:
		if v.whole {
			v.breaks(*v.tear)
		} else {
			v.tear.Text = fmt.Sprintf("a crash has torn %d bytes; the chain continues in line %d", before.torn, at)
			v.report.Torn = append(v.report.Torn, *v.tear)
		}
		v.tear = nil
	case !continues && v.tear == nil:
		v.tear, v.whole = &Place{v.file, at, v.reason(one, whole)}, whole
	}
}

// reason tells why a line does not continue the chain.
func (v *verifier) reason(one *Line, whole bool) string {
	switch after := v.chain.seq + 1; {
	case !whole:
		return "it is damaged: no whole line of an audit log"
	case one.Seq > after:
		return fmt.Sprintf("the lines from seq %d to %d are missing before it, or its seq was changed", after, one.Seq-1)
	case one.Seq < after:
		return fmt.Sprintf("it was inserted, moved or changed: its seq is %d and not %d", one.Seq, after)
	}
	return "it or the line before was changed: its prev is not the hash of the line before"
}

// endFile ends a file. Its torn end is a break, because no line about a torn write follows.
func (v *verifier) endFile() {
	if v.broken = v.tear != nil; v.broken {
		v.breaks(*v.tear)
		v.chain.torn, v.chain.region = 0, nil
	}
}

// breaks notes where the chain breaks.
func (v *verifier) breaks(at Place) {
	v.report.Breaks = append(v.report.Breaks, at)
	v.tear = nil
}
