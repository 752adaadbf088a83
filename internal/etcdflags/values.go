package etcdflags

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// URLs are URLs in the order of their texts, each once.
type URLs []url.URL

// Strings are the URLs as they were written.
func (us URLs) Strings() []string {
	all := make([]string, len(us))
	for i := range us {
		all[i] = us[i].String()
	}
	return all
}

func (us URLs) String() string { return strings.Join(us.Strings(), ",") }

// parseURLs reads URLs between commas.
func parseURLs(parts []string) (URLs, error) {
	var all URLs
	for _, part := range parts {
		part = strings.TrimSpace(part)
		u, err := url.Parse(part)
		if err != nil {
			return nil, err
		}
		switch u.Scheme {
		case "http", "https":
			if _, _, err := net.SplitHostPort(u.Host); err != nil {
				return nil, fmt.Errorf(`URL address does not have the form "host:port": %s`, part)
			}
			if u.Path != "" {
				return nil, fmt.Errorf("URL must not contain a path: %s", part)
			}
		case "unix", "unixs":
		default:
			return nil, fmt.Errorf("URL scheme must be http, https, unix, or unixs: %s", part)
		}
		all = append(all, *u)
	}
	slices.SortFunc(all, func(a, b url.URL) int { return strings.Compare(a.String(), b.String()) })
	return slices.CompactFunc(all, func(a, b url.URL) bool { return a.String() == b.String() }), nil
}

// urlsValue is URLs, or one word that stands for none of them.
type urlsValue struct {
	urls   URLs
	except []string
	word   string
}

func (v *urlsValue) Set(s string) (err error) {
	v.urls, v.word = nil, s
	if slices.Contains(v.except, s) {
		return nil
	}
	v.urls, err = parseURLs(strings.Split(s, ","))
	return err
}

func (v *urlsValue) String() string { return v.word }

// listValue is words between commas.
type listValue []string

func (v *listValue) Set(s string) error {
	*v = nil
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" && !slices.Contains(*v, part) {
			*v = append(*v, part)
		}
	}
	return nil
}

func (v *listValue) String() string { return strings.Join(*v, ",") }

// choiceValue is one of a few words.
type choiceValue struct {
	choices []string
	chosen  string
}

func (v *choiceValue) Set(s string) error {
	if !slices.Contains(v.choices, s) {
		return errors.New("invalid value")
	}
	v.chosen = s
	return nil
}

func (v *choiceValue) String() string { return v.chosen }

// count32Value is a number of 32 bits.
type count32Value uint32

func (v *count32Value) Set(s string) error {
	n, err := strconv.ParseUint(s, 0, 32)
	*v = count32Value(n)
	return err
}

func (v *count32Value) String() string { return strconv.FormatUint(uint64(*v), 10) }

// gatesKnown are the feature gates of etcd 3.7.
var gatesKnown = []string{
	"AllAlpha", "AllBeta", "CompactHashCheck", "FastLeaseKeepAlive", "InitialCorruptCheck", "LeaseCheckpoint", "LeaseCheckpointPersist",
	"PriorityRequest", "SetMemberLocalAddr", "StopGRPCServiceOnDefrag", "TxnModeWriteWithSharedBuffer",
}

// gatesValue is the value of the feature gates' flag.
type gatesValue struct {
	said string
	on   map[string]bool
}

func (v *gatesValue) Set(s string) error {
	on := map[string]bool{}
	for part := range strings.SplitSeq(s, ",") {
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		if !ok {
			return fmt.Errorf("missing bool value for %s", name)
		}
		value = strings.TrimSpace(value)
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("invalid value of %s=%s, err: %w", name, value, err)
		}
		if !slices.Contains(gatesKnown, name) {
			return fmt.Errorf("unrecognized feature gate: %s", name)
		}
		on[name] = b
	}
	v.said, v.on = s, on
	return nil
}

func (v *gatesValue) String() string { return v.said }

// nothingValue takes anything, also nothing.
type nothingValue struct{}

func (nothingValue) Set(string) error { return nil }
func (nothingValue) String() string   { return "" }

// IsBoolFlag says that it needs no value.
func (nothingValue) IsBoolFlag() bool { return true }

// newFlagSet has all flags of the table, with their defaults.
func newFlagSet() *flag.FlagSet {
	fs := flag.NewFlagSet("etcd", flag.ContinueOnError)
	for _, g := range table {
		for _, s := range g.specs {
			s.define(fs)
		}
	}
	fs.String("config-file", "", "")
	fs.Bool("version", false, "")
	return fs
}

// define adds the flag to a set.
func (s *spec) define(fs *flag.FlagSet) {
	switch s.kind {
	case text:
		fs.String(s.name, "", "")
	case onOff:
		fs.Bool(s.name, false, "")
	case count:
		fs.Uint(s.name, 0, "")
	case count64:
		fs.Uint64(s.name, 0, "")
	case count32:
		fs.Var(new(count32Value), s.name, "")
	case whole:
		fs.Int(s.name, 0, "")
	case whole64:
		fs.Int64(s.name, 0, "")
	case span:
		fs.Duration(s.name, time.Duration(0), "")
	case list:
		fs.Var(new(listValue), s.name, "")
	case urls:
		fs.Var(&urlsValue{except: []string{"", "*"}}, s.name, "")
	case choice:
		fs.Var(&choiceValue{choices: s.choices}, s.name, "")
	case gates:
		fs.Var(&gatesValue{}, s.name, "")
	case nothing:
		fs.Var(nothingValue{}, s.name, "")
	}
	if s.value != "" {
		if err := fs.Lookup(s.name).Value.Set(s.value); err != nil {
			panic(fmt.Sprintf("etcdflags: the default of --%s: %v", s.name, err))
		}
	}
}
