package index

// Counts are what a state has applied since it was made, or loaded: for an operator's eyes. They have no part in the state, and
// nothing is decided by them.
type Counts struct {
	Puts, PutBytes          uint64 // of keys, with those of transactions, and what their keys and values have
	Deletes, Transactions   uint64 // that were not refused; a delete counts once, whatever it deletes
	Compactions             uint64
	Grants, Revokes, Expiry uint64 // of leases; Expiry are the revocations that a leader's clock has decided
}

// Counts returns what was applied until the View was made.
func (v *View) Counts() Counts { return v.counts }
