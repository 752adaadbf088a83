//go:build race

package cli

// slowdown is how much more time and memory a process takes under the race detector, at most.
const slowdown = 8
