//go:build !race

package buffers

const raceEnabled = false
