//go:build race

package buffers

const raceEnabled = true // its pools forget some
