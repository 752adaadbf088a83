// Package audit writes the audit lines of a member: lines of its log with audit=true, which tell the logins, the refusals for want of a user
// or of a permission, and the changes of users, roles, members and alarms. Reads and writes of keys have no lines.
//
// A line has these attributes; those that are 0 or empty are left out:
//
//	user       the user, or the claimed user of a failed login
//	proof      how the user was authenticated: certificate, token, password, or none
//	address    HOST:PORT of the client; HOST alone of a client of etcd's API
//	api        native, etcd or http; without it the member noticed the change by itself
//	what       the operation
//	keys       the first lineRanges keys or ranges [KEY, END) of the request
//	more_keys  the number of further ranges
//	revision   the revision of a change
//	result     ok, or the name of the refusal's code (package kv)
//	detail     text for people
//	uncounted  the number of refusals before this one that have no line: a client gets refusalLines a second
//
// No attribute holds a value, a password or a token. A text of a client is cut to textBytes, and its control and direction characters are
// escaped as in Go.
package audit

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
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

// Login is the operation of a login.
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

const (
	// textBytes bounds each key, name and message of a line, and lineRanges its ranges.
	textBytes  = 512
	lineRanges = 8
	// refusalLines bounds the lines a second about refusals of one client, and clientsMost the clients whose refusals are counted.
	refusalLines = 10
	clientsMost  = 1024
)

// Log is a member's audit log. It may be used from any goroutine; a nil Log records nothing.
type Log struct {
	logger *slog.Logger
	file   *File

	mu      sync.Mutex
	clients map[string]*refusals
	more    int64 // refusals without a line, of clients that are not in clients
}

// refusals counts the refusals of a client.
type refusals struct {
	since time.Time // the begin of its second
	lines int       // in that second
	more  int64     // refusals since the last line
}

// New returns a log that writes to a member's log, and to file unless that is nil.
func New(to slog.Handler, file *File) *Log {
	if file != nil {
		to = slog.NewMultiHandler(to, slog.NewJSONHandler(file, nil))
	}
	return &Log{logger: slog.New(to).With("audit", true), file: file, clients: map[string]*refusals{}}
}

// Record writes the line of an event.
func (l *Log) Record(e Event) {
	if l == nil {
		return
	}
	uncounted, result := int64(0), kv.OK
	if e.Refusal != nil {
		ok := false
		if uncounted, ok = l.admit(&e, time.Now()); !ok {
			return
		}
		result = e.Refusal.Code
		if e.Message == "" {
			e.Message = e.Refusal.Message
		}
	}
	var keys []string
	for _, r := range e.Ranges[:min(len(e.Ranges), lineRanges)] {
		text := shown(string(r.Key))
		if len(r.End) > 0 {
			text = "[" + text + ", " + shown(string(r.End)) + ")"
		}
		keys = append(keys, text)
	}
	var all []slog.Attr
	add := func(is bool, name string, value any) {
		if is {
			all = append(all, slog.Any(name, value))
		}
	}
	add(e.User != "", "user", shown(e.User))
	add(e.Proof != "", "proof", string(e.Proof))
	add(e.Remote != "", "address", shown(e.Remote))
	add(e.API != "", "api", string(e.API))
	add(true, "what", e.Operation)
	add(len(keys) > 0, "keys", keys)
	add(len(keys) < len(e.Ranges), "more_keys", len(e.Ranges)-len(keys))
	add(e.Revision != 0, "revision", e.Revision)
	add(true, "result", result.String())
	add(e.Message != "", "detail", shown(e.Message))
	add(uncounted > 0, "uncounted", uncounted)
	l.logger.LogAttrs(context.Background(), slog.LevelInfo, "audit", all...)
}

// admit decides whether a refusal has a line, and returns the number of those before it that have none. The user of a login is only claimed.
func (l *Log) admit(e *Event, now time.Time) (uncounted int64, ok bool) {
	client := e.Remote
	if host, _, err := net.SplitHostPort(e.Remote); err == nil {
		client = host // each connection has another port
	}
	if e.Operation != Login {
		client += " " + e.User
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.clients[client]
	if one == nil {
		if len(l.clients) >= clientsMost {
			maps.DeleteFunc(l.clients, func(_ string, c *refusals) bool {
				over := now.Sub(c.since) >= time.Second
				if over {
					l.more += c.more
				}
				return over
			})
		}
		if len(l.clients) >= clientsMost {
			l.more++
			return 0, false
		}
		one = &refusals{since: now}
		l.clients[strings.Clone(client)] = one
	}
	if d := now.Sub(one.since); d >= time.Second || d < 0 {
		one.since, one.lines = now, 0
	}
	if one.lines == refusalLines {
		one.more++
		return 0, false
	}
	uncounted = one.more + l.more
	one.lines++
	one.more, l.more = 0, 0
	return uncounted, true
}

// shown returns a text of a client for a line.
func shown(text string) string {
	rest := ""
	if len(text) > textBytes {
		n := textBytes
		for !utf8.RuneStart(text[n]) && n > textBytes-utf8.UTFMax {
			n--
		}
		text, rest = text[:n], "…"
	}
	text = strconv.Quote(text)
	return strings.ReplaceAll(text[1:len(text)-1], `\"`, `"`) + rest
}

// Lost returns the number of lines that could not be written to the file.
func (l *Log) Lost() int64 {
	if l == nil || l.file == nil {
		return 0
	}
	return l.file.lost.Load()
}

// Close writes the waiting lines, and closes the file.
func (l *Log) Close() {
	if l != nil && l.file != nil {
		l.file.close()
	}
}
