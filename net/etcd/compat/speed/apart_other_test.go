//go:build !linux

package speed

import "testing"

func apart(t *testing.T, _ [2]*side) { t.Skip("members and clients apart: Linux only") }
