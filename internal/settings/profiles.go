package settings

import (
	"io"
	"maps"
	"slices"
	"strings"
)

// Profiles are the named sets of settings of one file.
type Profiles struct {
	Default string // the profile that is used if none is named; empty: none
	All     map[string][]Setting
}

// ReadProfiles reads a file of profiles, which is at most settingsBytes long. Its error is a *Faults, or that of from.
func ReadProfiles(file string, from io.Reader, t Table) (Profiles, error) {
	r, p := &reader{Table: t}, Profiles{All: map[string][]Setting{}}
	root, err := r.parse(from)
	if err != nil {
		return p, err
	}
	var first *entry
	for _, e := range r.entries(root, "the file") {
		switch e.key.Value {
		case "default":
			first = &e
			p.Default, _ = r.value("default", Text, e.value)
		case "profiles":
			for _, one := range r.entries(e.value, "profiles") {
				p.All[one.key.Value] = r.mapping(one.value, "the profile "+shortened(one.key.Value))
			}
		default:
			r.fault(e.key, "unknown key %s: a file of profiles has `default` and `profiles`", shortened(e.key.Value))
		}
	}
	if _, ok := p.All[p.Default]; !ok && p.Default != "" {
		r.fault(first.value, "the default %s is none of the profiles: %s", shortened(p.Default), strings.Join(slices.Sorted(maps.Keys(p.All)), ", "))
	}
	return p, r.end(file)
}
