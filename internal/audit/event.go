package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net"
	"strings"
	"time"
	"unicode/utf8"

	"qkv/index/kv"
)

// Proof is how a user was authenticated.
type Proof string

// The proofs. No user was authenticated by None.
const (
	Certificate Proof = "certificate"
	Token       Proof = "token"
	Password    Proof = "password"
	None        Proof = "none"
)

// API is the protocol of a request.
type API string

// The protocols.
const (
	Native API = "native"
	Etcd   API = "etcd"
	HTTP   API = "http"
)

// Login is the operation of a login. Like refusals, equal logins are summed up.
const Login = "login"

// Range is a range of keys, from Key to End without End; without End it is Key alone.
type Range struct{ Key, End []byte }

// Event is an event to record. It has no field for a value, a password or a token, and the message must contain none.
type Event struct {
	User      string // the claimed user if a login failed
	Proof     Proof
	Remote    string // HOST:PORT or HOST of the client; empty if the member acts by itself
	API       API    // empty if the member acts by itself
	Operation string // of a fixed set, never text of a client
	Ranges    []Range
	Revision  int64     // of a change; 0: none
	Refusal   *kv.Error // nil: the operation succeeded
	Message   string    // empty: the refusal's
}

// resultOK is the result of an operation that succeeded.
const resultOK = "ok"

// result returns the name of the outcome.
func (e *Event) result() string {
	if e.Refusal == nil {
		return resultOK
	}
	return e.Refusal.Code.String()
}

// repeats reports that clients can cause such events at any rate.
func (e *Event) repeats() bool { return e.Refusal != nil || e.Operation == Login }

// Line is a line of the audit log; doc.go explains its fields. The names and their order are a promise.
type Line struct {
	Time       string      `json:"time"`
	Member     string      `json:"member"`
	User       string      `json:"user,omitempty"`
	Proof      Proof       `json:"proof,omitempty"`
	Remote     string      `json:"remote,omitempty"`
	API        API         `json:"api,omitempty"`
	Operation  string      `json:"operation"`
	Ranges     []LineRange `json:"ranges,omitempty"`
	MoreRanges int         `json:"more_ranges,omitempty"`
	Revision   int64       `json:"revision,omitempty"`
	Result     string      `json:"result"`
	Message    string      `json:"message,omitempty"`
	Repeated   int64       `json:"repeated,omitempty"`
	Lost       int64       `json:"lost,omitempty"`
}

// LineRange is a range of keys on a line.
type LineRange struct {
	Key       string `json:"key,omitempty"`
	KeyBase64 []byte `json:"key_base64,omitempty"`
	KeyBytes  int    `json:"key_bytes,omitempty"`
	End       string `json:"end,omitempty"`
	EndBase64 []byte `json:"end_base64,omitempty"`
	EndBytes  int    `json:"end_bytes,omitempty"`
}

// opLost is the operation of the log's own lines.
const opLost = "audit lost"

// timeFormat is RFC 3339 with all nanoseconds.
const timeFormat = "2006-01-02T15:04:05.000000000Z"

func (l *Log) line(operation string, at time.Time) Line {
	return Line{Time: at.UTC().Format(timeFormat), Member: l.config.Member, Operation: operation, Result: resultOK}
}

const (
	// auditRanges bounds the key ranges of a line; their number is given in any case. auditTextBytes bounds each key, name and message of
	// an event. No line has more than auditLineBytes: every byte of a text may need six in JSON, and a key in base64 needs less.
	auditRanges    = 8
	auditTextBytes = 512
	auditLineBytes = 6*auditTextBytes*(2*auditRanges+4) + 4<<10
)

// lineOf returns the line of an event.
func (l *Log) lineOf(e *Event, at time.Time) Line {
	one := l.line(e.Operation, at)
	one.User, one.Proof, one.Remote, one.API = short(e.User), e.Proof, short(e.Remote), e.API
	one.Revision, one.Result, one.Message = e.Revision, e.result(), short(e.Message)
	if one.Message == "" && e.Refusal != nil {
		one.Message = short(e.Refusal.Message)
	}
	for _, r := range e.Ranges[:min(len(e.Ranges), auditRanges)] {
		var to LineRange
		to.Key, to.KeyBase64, to.KeyBytes = textOf(r.Key)
		to.End, to.EndBase64, to.EndBytes = textOf(r.End)
		one.Ranges = append(one.Ranges, to)
	}
	one.MoreRanges = len(e.Ranges) - len(one.Ranges)
	return one
}

// textOf returns a key as text, or as bytes if it is not UTF-8, and its length if it was cut.
func textOf(key []byte) (text string, other []byte, length int) {
	if len(key) > auditTextBytes {
		length = len(key)
	}
	if utf8.Valid(key) {
		return cut(string(key)), nil, length
	}
	return "", key[:min(len(key), auditTextBytes)], length
}

// cut shortens a text to auditTextBytes, between two characters.
func cut(text string) string {
	if len(text) <= auditTextBytes {
		return text
	}
	n := auditTextBytes
	for !utf8.RuneStart(text[n]) && n > auditTextBytes-utf8.UTFMax {
		n--
	}
	return strings.Clone(text[:n])
}

// short is cut with a mark.
func short(text string) string {
	if len(text) <= auditTextBytes {
		return text
	}
	return cut(text) + "…"
}

// appendLine appends a line with its newline.
func appendLine(dst []byte, one *Line) []byte {
	b := bytes.NewBuffer(dst)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(one); err != nil { // a struct of texts and numbers
		panic("audit: " + err.Error())
	}
	return b.Bytes()
}

// ParseLine reads a line. It returns nil if the text is no line of an audit log, as what a crash has torn.
func ParseLine(raw []byte) *Line {
	one := new(Line)
	if json.Unmarshal(raw, one) != nil || one.Operation == "" {
		return nil
	}
	return one
}

// hostOf returns the host of a client's address: each connection has another port.
func hostOf(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// KeyText returns a key or an end of a line's range for people.
func KeyText(text string, other []byte, length int) string {
	if len(other) > 0 {
		text = "base64:" + base64.StdEncoding.EncodeToString(other)
	}
	if length > 0 {
		text += "…"
	}
	return text
}
