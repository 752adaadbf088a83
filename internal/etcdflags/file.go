package etcdflags

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// sections are the parts of a file that hold what are flags of their own on a line: by the file's names, and the flags'.
var sections = map[string]map[string]string{
	"client-transport-security": {
		"cert-file": "cert-file", "key-file": "key-file", "client-cert-file": "client-cert-file", "client-key-file": "client-key-file",
		"client-cert-auth": "client-cert-auth", "trusted-ca-file": "trusted-ca-file", "auto-tls": "auto-tls",
		"allowed-hostname": "client-cert-allowed-hostname",
	},
	"peer-transport-security": {
		"cert-file": "peer-cert-file", "key-file": "peer-key-file", "client-cert-file": "peer-client-cert-file", "client-key-file": "peer-client-key-file",
		"client-cert-auth": "peer-client-cert-auth", "trusted-ca-file": "peer-trusted-ca-file", "auto-tls": "peer-auto-tls",
		"allowed-cn": "peer-cert-allowed-cn", "allowed-hostname": "peer-cert-allowed-hostname",
		"skip-client-san-verification": "peer-skip-client-san-verification",
	},
}

// readFile takes all settings from a file.
func (l *line) readFile(name string, read func(name string) ([]byte, error)) error {
	raw, err := read(name)
	if err != nil {
		return err
	}
	var all map[string]any
	if err := yaml.Unmarshal(raw, &all); err != nil {
		return fmt.Errorf("%s is neither YAML nor JSON: %w", name, err)
	}
	for _, key := range sorted(all) {
		section, ok := sections[key]
		if !ok {
			if err := l.take(key, key, all[key]); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			continue
		}
		inner, isMap := all[key].(map[string]any)
		if !isMap && all[key] != nil {
			return fmt.Errorf("%s: invalid %s", name, key)
		}
		for _, part := range sorted(inner) {
			if err := l.take(key+"."+part, section[part], inner[part]); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func sorted(all map[string]any) (keys []string) {
	for k := range all {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// take gives a flag the value that a file has for it.
func (l *line) take(key, name string, value any) error {
	s := specOf(name)
	// etcd reads it from the line only; its sample file has a value that the line refuses
	if s == nil || name == "discovery-fallback" {
		l.note(true, "unknown setting in the configuration file", "setting", key)
		return nil
	}
	words, err := s.fromFile(value)
	if err == nil && value != nil {
		err = l.set.Set(name, words)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	l.given[name] = value != nil
	return nil
}

// fromFile returns a value as a flag has it. A file's values have types, as JSON's do: what should be a number must not be a
// text.
func (s *spec) fromFile(value any) (string, error) {
	if value == nil {
		return "", nil
	}
	wrong := func(want string) error { return fmt.Errorf("%v is a %T, and %s is needed", value, value, want) }
	switch s.kind {
	case onOff:
		if b, ok := value.(bool); ok {
			return fmt.Sprint(b), nil
		}
		return "", wrong("true or false")
	case count, count64, count32, whole, whole64:
		switch value.(type) {
		case int, int64, uint64:
			return fmt.Sprint(value), nil
		}
		return "", wrong("a whole number")
	case span:
		switch n := value.(type) {
		case int:
			return time.Duration(n).String(), nil
		case int64:
			return time.Duration(n).String(), nil
		}
		return "", wrong("a whole number of nanoseconds")
	case list:
		if all, ok := value.([]any); ok {
			words := make([]string, len(all))
			for i, one := range all {
				words[i] = fmt.Sprint(one)
			}
			return strings.Join(words, ","), nil
		}
	case nothing:
		return "", nil
	}
	if text, ok := value.(string); ok {
		return text, nil
	}
	if _, composed := value.(map[string]any); s.kind == text && composed { // log-rotation-config-json, as some write it
		b, err := json.Marshal(value)
		return string(b), err
	}
	return "", wrong("a text")
}

// specOf returns the flag of a name, or nil.
func specOf(name string) *spec {
	for _, g := range table {
		for i := range g.specs {
			if g.specs[i].name == name {
				return &g.specs[i]
			}
		}
	}
	return nil
}
