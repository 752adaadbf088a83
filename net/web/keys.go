package web

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// tree is a request for one page of a level of the tree of keys: the keys with no further separator behind the prefix, and the groups of
// all others. Each row costs two searches in the tree of keys, whatever the number of keys in its group.
type tree struct {
	scope
	prefix, separator []byte
	from              []byte // the next key; nil behind the last one
	next              index.RangeReader
	reading           bool   // next has begun
	pinned            bool   // the request names a revision
	Revision          int64  `json:"revision"`
	Rows              []row  `json:"rows"`
	Next              []byte `json:"next"` // where the next page begins; nil: there is none
}

// row is a key, or a group of keys.
type row struct {
	Key      []byte `json:"key"`             // of a group, its prefix
	Keys     int64  `json:"keys,omitempty"`  // in a group
	About    bool   `json:"about,omitempty"` // Keys is the number at present
	Size     int    `json:"size"`            // of a key's value
	Modified int64  `json:"modified,omitempty"`
	Version  int64  `json:"version,omitempty"`
	Lease    bool   `json:"lease,omitempty"`
}

func newTree(q url.Values) (ask, error) {
	t := &tree{separator: []byte("/"), Rows: []row{}}
	t.scope, t.prefix = prefixScope(q)
	t.pinned = t.revision != 0
	if s := q.Get("separator"); s != "" {
		t.separator = []byte(s)
	}
	t.from = t.key
	if from := []byte(q.Get("from")); bytes.Compare(from, t.from) > 0 {
		t.from = from
	}
	return t, nil
}

const (
	// dashboardRows bounds the rows of a page of keys, and of the first page of a history: a person looks through no more.
	dashboardRows = 200
	// dashboardCounted is the number of keys up to which a group is counted in the past, where each key must be visited: a page of such
	// groups takes less than 100 ms.
	dashboardCounted = 2000
	// dashboardSearched bounds the keys that one request of a search looks at, about 30 ms. The page goes on with another request.
	dashboardSearched = 100_000
	// dashboardGroups bounds the groups whose bytes are added up in one answer.
	dashboardGroups = 10_000
	// dashboardVersions bounds the versions of a key in one answer.
	dashboardVersions = 2000
)

func (t *tree) step(v *index.View) (done bool, err error) {
	if err := t.pin(v); err != nil {
		return true, err
	}
	for work := int64(0); work < limits.RangeRows; work++ {
		if t.from == nil || len(t.Rows) == dashboardRows {
			return true, nil
		}
		if !t.reading {
			t.next, t.reading = index.NewRangeReader(kv.Range{Key: t.from, End: t.end, Limit: 1, Revision: t.revision, Continued: true}, 0), true
		}
		found, done, err := t.next.Step(v, limits.RangeRows)
		if !done || err != nil {
			return false, err
		}
		t.reading = false
		if len(found.KVs) == 0 {
			t.from = nil
			continue
		}
		work += t.add(v, &found.KVs[0])
	}
	return false, nil
}

// add appends the row of the next key, and continues behind it. It returns how many keys it has visited to count them.
func (t *tree) add(v *index.View, pair *kv.KeyValue) (visited int64) {
	rest := pair.Key[len(t.prefix):]
	at := bytes.Index(rest, t.separator)
	if at < 0 {
		t.Rows = append(t.Rows, row{Key: bytes.Clone(pair.Key), Size: len(pair.Value), Modified: pair.ModRevision, Version: pair.Version, Lease: pair.Lease != 0})
		t.from = append(bytes.Clone(pair.Key), 0)
		return 0
	}
	group := bytes.Clone(pair.Key[:len(t.prefix)+at+len(t.separator)])
	end := kv.PrefixEnd(group)
	one := row{Key: group}
	one.Keys, one.About, visited = countAt(v, group, end, t.revision, t.pinned)
	t.Rows = append(t.Rows, one)
	if t.from = end; len(end) == 1 && end[0] == 0 {
		t.from = nil
	}
	return visited
}

// countAt counts the keys of a range: at the revision if few keys must be visited for that, and else at present. about says which.
func countAt(v *index.View, key, end []byte, revision int64, past bool) (keys int64, about bool, visited int64) {
	if rows := v.RowsOf(key, end); past && revision < v.Revision() && rows <= dashboardCounted {
		visited = int64(rows)
		found, err := v.Range(kv.Range{Key: key, End: end, Revision: revision, CountOnly: true}, 0)
		if err == nil {
			return found.Count, false, visited
		}
	}
	r := index.NewRangeReader(kv.Range{Key: key, End: end, CountOnly: true}, 0)
	for {
		if found, done, _ := r.Step(v, 1); done {
			return found.Count, past && revision < v.Revision(), visited
		}
	}
}

func (t *tree) answer() any {
	t.Revision = t.revision
	if t.from != nil && len(t.Rows) == dashboardRows {
		t.Next = t.from
	}
	return t
}

// search is a request for the keys that contain a text, from a key on. One request looks at dashboardSearched keys at most.
type search struct {
	scope
	text   []byte
	next   index.RangeReader
	begun  bool
	Rows   []row  `json:"rows"`
	Looked int64  `json:"looked"`
	Next   []byte `json:"next"` // where the search continues; nil: it has seen all keys
}

func newSearch(q url.Values) (ask, error) {
	s := &search{text: bytes.ToLower([]byte(q.Get("text"))), Rows: []row{}}
	s.scope, _ = prefixScope(q)
	if len(s.text) == 0 {
		return nil, kv.Errorf(kv.BadRequest, "the search has no text")
	}
	s.Next = s.key
	if from := []byte(q.Get("from")); bytes.Compare(from, s.key) > 0 {
		s.Next = from
	}
	return s, nil
}

func (s *search) step(v *index.View) (done bool, err error) {
	if err := s.pin(v); err != nil {
		return true, err
	}
	if !s.begun {
		s.next, s.begun = index.NewRangeReader(kv.Range{Key: s.Next, End: s.end, Revision: s.revision, Continued: true}, 0), true
	}
	found, done, err := s.next.Step(v, limits.RangeRows)
	if !done || err != nil {
		return false, err
	}
	s.begun = false
	for i := range found.KVs {
		pair := &found.KVs[i]
		s.Looked++
		if !bytes.Contains(bytes.ToLower(pair.Key), s.text) {
			continue
		}
		s.Rows = append(s.Rows, row{Key: bytes.Clone(pair.Key), Size: len(pair.Value), Modified: pair.ModRevision, Version: pair.Version, Lease: pair.Lease != 0})
		if len(s.Rows) == dashboardRows {
			s.Next = append(bytes.Clone(pair.Key), 0)
			return true, nil
		}
	}
	if len(found.KVs) == 0 || !found.More {
		s.Next = nil
		return true, nil
	}
	s.Next = append(bytes.Clone(found.KVs[len(found.KVs)-1].Key), 0)
	return s.Looked >= dashboardSearched, nil
}

func (s *search) answer() any { return s }

// usage is a request for the bytes of the groups of one level of the tree. It visits each key below the prefix.
type usage struct {
	scope
	q      kv.Usage
	reader *index.UsageReader
	sum    kv.UsageResult
	bytes  int  // of the prefixes in sum
	more   bool // there are more groups
}

type usageRow struct {
	Key []byte `json:"key"` // the prefix
	kv.UsageRow
}

func newUsage(q url.Values) (ask, error) {
	u := &usage{q: kv.Usage{Separator: []byte("/"), Depth: 1}}
	u.scope, u.q.Prefix = prefixScope(q)
	u.reader = index.NewUsageReader(u.q.Range(), limits.PageBytes, time.Now().UnixNano())
	u.reader.Release()
	return u, nil
}

func (u *usage) step(v *index.View) (done bool, err error) {
	known := len(u.sum.Rows)
	page, _, last, err := u.reader.Step(v, limits.RangeRows)
	if err == nil {
		err = u.sum.Add(&u.q, &page)
	}
	for _, one := range u.sum.Rows[known:] {
		u.bytes += len(one.Prefix)
	}
	u.more = !last
	return last || len(u.sum.Rows) >= dashboardGroups || u.bytes > dashboardKeyBytes, err
}

// answer returns the groups whose keys are all counted.
func (u *usage) answer() any {
	rows, newest := []usageRow{}, len(u.sum.Rows)-1
	for i, one := range u.sum.Rows {
		if !u.more || i < newest && len(one.Prefix) > len(u.q.Prefix) {
			rows = append(rows, usageRow{one.Prefix, one})
		}
	}
	return map[string]any{"rows": rows, "more": u.more}
}

// history is a request for the newest versions of a key.
type history struct {
	scope
	most     int
	Revision int64     `json:"revision"` // of the state that was read
	Oldest   int64     `json:"oldest"`   // the oldest readable revision
	Versions []version `json:"versions"` // newest first
	More     bool      `json:"more"`     // there are older ones
}

type version struct {
	Revision int64  `json:"revision"`
	Version  int64  `json:"version"`
	Created  int64  `json:"created"`
	Time     int64  `json:"time"` // in milliseconds since 1970; 0: not known
	Author   string `json:"author"`
	Deleted  bool   `json:"deleted"`
	Size     int    `json:"size"`
	Lease    string `json:"lease"`
}

func newHistory(q url.Values) (ask, error) {
	s, err := keyScope(q)
	return &history{scope: s, most: int(min(number(q, "most", dashboardRows), dashboardVersions)), Versions: []version{}}, err
}

// step finds the newest changes by halving: KeyChanges looks at the changes since a revision, and at no more than most of them.
func (h *history) step(v *index.View) (done bool, err error) {
	if err := h.pin(v); err != nil {
		return true, err
	}
	h.Revision, h.Oldest = v.Revision(), v.Compacted()
	add := func(c *index.Change) bool {
		one := version{Revision: c.KV.ModRevision, Version: c.KV.Version, Created: c.KV.CreateRevision, Deleted: c.Deleted, Size: c.Size(), Lease: leaseText(c.KV.Lease)}
		one.Time = milliseconds(v.TimeOf(one.Revision))
		one.Author = v.AuthorOf(h.key, one.Revision)
		h.Versions = append(h.Versions, one)
		return true
	}
	from, to := v.Compacted(), v.Revision()+1
	for ok := false; !ok; {
		if ok, err = v.KeyChanges(h.key, index.Position{Revision: from}, h.most, add); err != nil || ok {
			break
		}
		h.More = true
		for low, high := from, to; low < high; { // the oldest revision from which there are few enough
			middle := low + (high-low)/2
			few, err := v.KeyChanges(h.key, index.Position{Revision: middle}, h.most, func(*index.Change) bool { return false })
			if err != nil {
				return true, err
			}
			if few {
				high = middle
			} else {
				low = middle + 1
			}
			from = high
		}
	}
	slices.Reverse(h.Versions)
	return true, err
}

func (h *history) answer() any { return h }

func leaseText(id int64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(id), 16)
}

// value is a request for a value, which is answered as it is.
type value struct {
	scope
	found kv.KeyValue
	there bool
}

func (q *value) step(v *index.View) (done bool, err error) {
	q.found, q.there, err = v.Get(q.key, q.revision)
	q.found.Value = bytes.Clone(q.found.Value)
	return true, err
}

// value answers with the bytes of a value. A browser does not show them by itself.
func (d *dashboard) value(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	s, err := keyScope(r.URL.Query())
	q := &value{scope: s}
	if err == nil {
		err = d.Read(ctx, kv.AccessRead, q, q.step)
	}
	if err == nil && !q.there {
		err = kv.Errorf(kv.FutureRevision, "the key does not exist at this revision")
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment")
	h.Set("X-Qkv-Revision", strconv.FormatInt(q.found.ModRevision, 10))
	_, _ = w.Write(q.found.Value)
	return nil
}
