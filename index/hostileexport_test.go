package index

// Rules are for the test of hostile commands, which has a package of its own, because package snapshot imports this one.
var Rules = testRules

// Samples returns commands of every kind, with their kinds.
func Samples() (commands [][]byte, kinds []uint64) {
	_, commands, same := samples()
	for i := range same {
		kinds = append(kinds, same[i].Kind)
	}
	return commands, kinds
}

// NamesOfKinds returns the names of all declared kinds.
func NamesOfKinds() map[uint64]string {
	names := map[uint64]string{}
	for number := range uint64(len(kinds)) {
		if declared(number) {
			names[number] = kinds[number].name
		}
	}
	return names
}

// ImportRevision is for the same test.
const ImportRevision = importRevision
