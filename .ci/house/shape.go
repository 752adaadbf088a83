package main

import (
	"fmt"
	"go/types"
	"math/rand/v2"
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

// upwards returns the arrows between the files of a package that run back up, in the order of the files in which they are fewest, and
// the number of all arrows.
func (r *room) upwards() (up []string, of int) {
	n := len(r.files)
	uses := make([][]int, n) // 1 where the first file uses the second one
	for i, from := range r.files {
		uses[i] = make([]int, n)
		for j, to := range r.files {
			if from.uses[to.name] {
				uses[i][j] = 1
				of++
			}
		}
	}
	best := -1
	random := rand.New(rand.NewPCG(1, 2)) // the same orders in each run
	for range 20 {
		order := random.Perm(n)
		for improve(order, uses) {
		}
		var found []string
		for place, i := range order {
			for _, j := range order[:place] {
				if uses[i][j] > 0 {
					found = append(found, r.files[i].name+" -> "+r.files[j].name)
				}
			}
		}
		if best < 0 || len(found) < best {
			best, up = len(found), found
		}
	}
	slices.Sort(up)
	return up, of
}

// improve moves each file to the place where fewest of its arrows run up, and reports whether that helped.
func improve(order []int, uses [][]int) (better bool) {
	for place := range order {
		x, to, least := order[place], place, 0
		for step, change := place-1, 0; step >= 0; step-- { // above order[step]
			change += uses[order[step]][x] - uses[x][order[step]]
			if change < least {
				least, to = change, step
			}
		}
		for step, change := place+1, 0; step < len(order); step++ { // below order[step]
			change += uses[x][order[step]] - uses[order[step]][x]
			if change < least {
				least, to = change, step
			}
		}
		if to < place {
			copy(order[to+1:place+1], order[to:place])
		} else {
			copy(order[place:to], order[place+1:to+1])
		}
		order[to] = x
		better = better || to != place
	}
	return better
}
