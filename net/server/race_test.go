//go:build race

package server_test

// underRace: the race detector's own memory, several times the program's, is in all that is resident.
const underRace = true
