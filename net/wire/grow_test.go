package wire

import (
	"fmt"
	"testing"

	"qkv/index/kv"
	"qkv/internal/pack/packtest"
)

// answers are the ways to read each kind of answer, by the example's name, and the paths of the structs in it.
var answers = map[string]struct {
	read  func(p *Response) (any, error)
	paths [][]int
}{
	"page":               {readPage, [][]int{{5, 0}}},
	"empty page":         {readPage, nil},
	"written with":       {readWritten, [][]int{{4, 0}}},
	"done":               {func(p *Response) (any, error) { r, s := p.body(0, 0); return 0, p.end(&r, s) }, nil},
	"error":              {func(p *Response) (any, error) { r, s := p.body(1, 1); m := r.String(); return m, p.end(&r, s) }, nil},
	"transaction answer": {func(p *Response) (any, error) { return p.Txn() }, [][]int{{4, 0, 2, 0}}},
	"granted":            {func(p *Response) (any, error) { n, l, err := p.Granted(); return fmt.Sprint(n, l), err }, nil},
	"lease time":         {func(p *Response) (any, error) { return p.LeaseTime() }, nil},
}

func readPage(p *Response) (any, error) {
	var page kv.RangeResult
	err := p.Range(&page)
	return page, err
}

func readWritten(p *Response) (any, error) {
	revision, deleted, previous, err := p.Written()
	return fmt.Sprint(revision, deleted, previous), err
}

// Every frame may be of a newer or older qkv: each of the examples, with fields more and less, in itself and in the structs in it.
func TestFramesGrow(t *testing.T) {
	requests, deliveries := 0, 0
	read := map[string]bool{}
	for _, x := range examples {
		if x.name == "written" || x.name == "written large" { // grows as "written with" does
			continue
		}
		frame := frameOf(t, x.frame)
		if a, ok := answers[x.name]; ok {
			read[x.name] = true
			decode := func(b []byte) (any, error) {
				p, err := ReadResponse(b)
				if err != nil {
					return nil, err
				}
				return a.read(&p)
			}
			least := len(x.fields)
			if x.name == "written with" {
				least--
			}
			packtest.Grows(t, x.name, frame, decode, false, least)
			for _, path := range a.paths {
				packtest.Grows(t, x.name, frame, decode, false, 1, path...)
			}
			continue
		}
		if d, err := ReadWatchFrame(frame); err == nil && x.name[:5] == "watch" && x.name != "watch" {
			deliveries++
			packtest.Grows(t, x.name, frame, ReadWatchFrame, false, 2)
			for i := range d.Events {
				fields, known := len(x.fields[4].(array)[i].(array)), eventFields[x.fields[4].(array)[i].(array)[0].(int)]
				if fields > known { // a shorter one has no key before
					packtest.Grows(t, x.name, frame, ReadWatchFrame, false, known+1, 4, i)
					packtest.Grows(t, x.name, frame, ReadWatchFrame, false, 0, 4, i, known)
				}
			}
			continue
		}
		if IsWatch(frame) {
			requests++
			packtest.Grows(t, x.name, frame, func(b []byte) (q kv.WatchRequest, err error) {
				err = ReadWatchRequest(b, &q)
				return q, err
			}, false, 3)
			continue
		}
		requests++
		decode := func(b []byte) (Request, error) {
			var q Request
			err := ReadRequest(b, &q)
			return q, err
		}
		least := 3
		if q, err := decode(frame); err == nil && q.Ask != nil {
			least = len(x.fields)
		}
		packtest.Grows(t, x.name, frame, decode, false, least)
		if x.name == "transaction" {
			for _, path := range [][]int{{7, 0, 0}, {7, 1, 0}, {7, 2, 0}} {
				packtest.Grows(t, x.name, frame, decode, false, 1, path...)
			}
			packtest.Grows(t, x.name, frame, decode, false, 0, 7)
		}
	}
	for name := range answers {
		if !read[name] {
			t.Errorf("there is no example %q", name)
		}
	}
	if requests < 20 || deliveries < 5 {
		t.Errorf("only %d requests and %d deliveries were looked at", requests, deliveries)
	}
}
