package index

// Counts count the operations that a state has applied since it was made or loaded, for operators. They are not part of
// the state, and no decision depends on them.
type Counts struct {
	// puts of keys, including those in transactions, and the bytes of their keys and values
	Puts, PutBytes          uint64
	Deletes, Transactions   uint64 // not refused; a delete counts once, however many keys it deletes
	Compactions             uint64
	Grants, Revokes, Expiry uint64 // of leases; Expiry counts the revocations by a leader's clock
	ExpiredKeys             uint64 // keys that these deleted
}

// Counts returns the counts at the time when the View was made.
func (v *View) Counts() Counts { return v.counts }
