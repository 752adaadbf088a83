package index

// Apply and load agree: every state that a command makes can be loaded. The functions of this table decide both. Apply refuses a
// command in words before it changes anything. A load refuses the state before it is used, and mends nothing: the digests of all
// members must stay equal.
//
//	part of the state     function                        asked by apply in                   asked by a load in
//	feature level         checkLevel                      kinds                               metaReader.read
//	members, addresses    Members.check                   changeMembers                       readMembers
//	leases                kv.Lease.Check                  kinds, checkpoint; SetLeases        leaseState.read
//	alarms                kv.AlarmName.Replicated         kinds                               readAlarms
//	sequences             kv.WriteName.Check              apply                               readSession, by the same limits
//	numbers of sessions   limits.SessionRules             evictIdle                           sessions.read
//	users, roles          kv.AuthChange.Check             kinds                               accounts.read, by AuthContent.Check
//	authors               authors.admit                   authorOfChange                      readAuthors
//	keys, values          kv.Put.Check                    kinds, fitsRevision                 Builder, for each version
//
// Other rules hold by construction, whatever a command says: orders, checksums, sums, the history without gaps, extents without gaps.
