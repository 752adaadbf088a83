package main

import (
	"fmt"
	"go/types"
	"maps"
	"slices"
)

// most is the largest count of a kind, and what has it.
type most struct {
	n  int
	of string
}

func (m *most) see(n int, of string) {
	if n > m.n {
		*m = most{n, of}
	}
}

func (m most) String() string { return fmt.Sprintf("%d (%s)", m.n, m.of) }

// largest returns the most fields and the most methods of a struct type.
func (h *house) largest() (fields, methods most) {
	for _, r := range h.packages {
		for _, name := range r.types.Scope().Names() {
			one, ok := r.types.Scope().Lookup(name).(*types.TypeName)
			if !ok || one.IsAlias() {
				continue
			}
			of, _ := one.Type().(*types.Named)
			s, ok := of.Underlying().(*types.Struct)
			if !ok {
				continue
			}
			named := h.short(r.path) + "." + name
			fields.see(h.fields(s), named)
			methods.see(of.NumMethods(), named)
		}
	}
	return fields, methods
}

// fields counts the fields of a struct, and the fields of the module's structs that are embedded in it.
func (h *house) fields(s *types.Struct) (n int) {
	n = s.NumFields()
	for one := range s.Fields() {
		if of, ok := one.Type().(*types.Named); ok && one.Embedded() && h.fileAt(of.Obj().Pkg(), of.Obj().Pos()) != nil {
			if embedded, ok := of.Underlying().(*types.Struct); ok {
				n += h.fields(embedded)
			}
		}
	}
	return n
}

// upwards returns the arrows between the files of a package that run back up, and the number of all arrows.
func (r *room) upwards() (up []string, of int) {
	floors := r.floors()
	for _, from := range r.files {
		for to := range from.uses {
			if _, own := floors[to]; own {
				if of++; floors[to] >= floors[from.name] {
					up = append(up, from.name+" -> "+to)
				}
			}
		}
	}
	slices.Sort(up)
	return up, of
}

// floors gives each file of a package its floor: one above the highest file that it uses. Of two files that use each
// other, the one with more references stands above. Files of a larger circle stand on one floor.
func (r *room) floors() map[string]int {
	uses := map[string][]string{} // without those arrows that are cut
	for _, from := range r.files {
		for _, to := range r.files {
			there, back := from.uses[to.name], to.uses[from.name]
			if there > back || there > 0 && there == back && from.name < to.name {
				uses[from.name] = append(uses[from.name], to.name)
			}
		}
	}
	floors := map[string]int{}
	for _, circle := range circles(slices.Sorted(maps.Keys(uses)), uses) { // a circle comes after all that it uses
		floor := 0
		for _, from := range circle {
			for _, to := range uses[from] {
				if !slices.Contains(circle, to) {
					floor = max(floor, floors[to]+1)
				}
			}
		}
		for _, name := range circle {
			floors[name] = floor
		}
	}
	for _, f := range r.files {
		floors[f.name] += 0 // also a file that uses none
	}
	return floors
}

// circles returns the files in groups that use each other around (Tarjan's algorithm), each group after those that it
// uses.
func circles(files []string, uses map[string][]string) (all [][]string) {
	number, lowest := map[string]int{}, map[string]int{}
	var open []string
	var visit func(string)
	visit = func(name string) {
		number[name] = len(number) + 1
		lowest[name] = number[name]
		open = append(open, name)
		for _, to := range uses[name] {
			if number[to] == 0 {
				visit(to)
				lowest[name] = min(lowest[name], lowest[to])
			} else if slices.Contains(open, to) {
				lowest[name] = min(lowest[name], number[to])
			}
		}
		if lowest[name] == number[name] {
			at := slices.Index(open, name)
			all, open = append(all, slices.Clone(open[at:])), open[:at]
		}
	}
	for _, name := range files {
		if number[name] == 0 {
			visit(name)
		}
	}
	return all
}
