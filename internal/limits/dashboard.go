package limits

import "time"

// The dashboard's requests (package web) and `qkv top`.
const (
	// DashboardRequest bounds the body of a request: a name with a password, or a key with two revisions.
	DashboardRequest = 64 << 10
	// DashboardConnections bounds the connections to the addresses of --web. A browser opens up to six.
	DashboardConnections = 256
	// DashboardRows bounds the rows of a page of keys, and of the first page of a history: what a person looks through.
	DashboardRows = 200
	// DashboardCounted is the number of keys up to which a group is counted in the past, where each key must be visited: a page of such
	// groups takes less than 100 ms.
	DashboardCounted = 2000
	// DashboardSearched bounds the keys that one request of a search looks at, about 30 ms. The page goes on with another request.
	DashboardSearched = 100_000
	// DashboardGroups bounds the groups whose bytes are added up in one answer.
	DashboardGroups = 10_000
	// DashboardVersions bounds the versions of a key in one answer.
	DashboardVersions = 2000
	// DashboardMoments is the number of points on the time line: one for every few pixels.
	DashboardMoments = 200
	// DashboardChanges bounds the keys that a comparison of two moments finds, and that a revert changes: about 2 MiB of keys.
	// DashboardDifferences is how many of them the page shows.
	DashboardChanges     = 20_000
	DashboardDifferences = 1000
	// DashboardKeyBytes bounds the keys that a request of the dashboard keeps, in bytes: 20,000 keys of KeyBytes would be 625 MiB.
	DashboardKeyBytes = 8 << 20
	// DashboardRevert bounds the bytes of a transaction of a revert, below the default of --max-request-bytes.
	DashboardRevert = 1 << 20
	// DashboardBatch is the interval of the changes that are sent to a live page, with at most DashboardEvents of them: more cannot be
	// read. DashboardSilence is the longest time without a sign of life, and the time in which a browser must read.
	DashboardBatch   = 250 * time.Millisecond
	DashboardEvents  = 100
	DashboardSilence = 15 * time.Second
	// DashboardLeases and DashboardLeaseKeys bound the leases of a live page, and the keys of each. The leader's clock is asked for each.
	DashboardLeases    = 500
	DashboardLeaseKeys = 20
	// TopDelay is the default interval of `qkv top`. It counts the writes of prefixes, up to separator TopDepth, every TopPrefixes: a member
	// sends each key for that.
	TopDelay    = 2 * time.Second
	TopPrefixes = 10 * time.Second
	TopDepth    = 3
	// DashboardClients bounds the clients of a live page; clients with more unread bytes and more requests come first.
	DashboardClients = 100
)
