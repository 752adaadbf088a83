//go:build !race

package cli

const slowdown = 1
