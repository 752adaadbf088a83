package front

import "time"

// A client may have limits.EtcdStreams requests in flight on each of its connections. Each request has a goroutine, whether its answer
// will be read or not, and delays the requests of all other clients. The rules against this head-of-line blocking:
//
//  1. A request is in service from its last byte until its answer begins, or the request is over.
//  2. While more than etcdServed are in service, a client with more than etcdServedFew of them is throttled, all its
//     connections together. Each of them is read a few requests at a time, and only after fewer are in service or
//     etcdServedWait has passed. No other client waits.
//  3. A request that waits for a lock or an election, which may take for ever, is not in service meanwhile.
//  4. Every connection is read eventually: its answers may need frames from it, such as window updates.
//  5. The bytes of requests in service are bounded like their number, since a write is in memory several times until the disks have it.
//     While all clients have more than etcdServedBytes, a client with more than etcdServedBytesFew is throttled.

const (
	// etcdServed is how many requests of all clients are served before busy clients are throttled: a client with more
	// than etcdServedFew of them is read more slowly, with a delay of at most etcdServedWait per request. Measured
	// without, beside 20 connections of 8,000 unread gets: another client's put took 4 s (etcd: 4), and 900 MiB more
	// were resident (etcd: 1.1 GiB; load 25).
	etcdServed     = 4096
	etcdServedFew  = 256
	etcdServedWait = 500 * time.Millisecond
	// etcdServedBytes and etcdServedBytesFew are the same for the bytes of those requests. A write is in memory two to three times until it
	// is answered, and other clients' puts queue behind it: half a second on a disk of 64 MiB/s. Measured without, beside 16 connections of
	// up to 500 puts of 1.4 MiB each: another client's put took 20 s, and 9 GiB more were resident.
	etcdServedBytes    = 32 << 20
	etcdServedBytesFew = 64 << 10
)

// overloads tells whether the client has too many requests in service.
func (s *Account) overloads() bool {
	return s.with.serving.Load() > etcdServedFew && s.of.serving.Load() > etcdServed ||
		s.with.servedBytes.Load() > etcdServedBytesFew && s.of.servedBytes.Load() > etcdServedBytes
}

// throttlePoll is the polling interval of a throttled connection.
const throttlePoll = 2 * time.Millisecond

// throttle waits while the client has too many requests in service, at most for most, or until the connection is over.
func (s *Account) throttle(most time.Duration) {
	if !s.overloads() {
		return
	}
	look := time.NewTicker(throttlePoll)
	defer look.Stop()
	for begun := time.Now(); s.overloads() && time.Since(begun) < most; {
		select {
		case <-look.C:
		case <-s.over:
			return
		}
	}
}

// serveLocked adds to the requests in service, and to their bytes; negative when they leave it.
func (s *Account) serveLocked(n, bytes int64) {
	if s.ended {
		return
	}
	s.serving += n
	s.with.serving.Add(n)
	s.of.serving.Add(n)
	if bytes != 0 {
		s.servedBytes += bytes
		s.with.servedBytes.Add(bytes)
		s.of.servedBytes.Add(bytes)
	}
}

// Rest takes a request that waits for other clients out of service, until the returned function is called. A request of the JSON gateway
// was never in service.
func (s *Account) Rest() (over func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving == 0 {
		return func() {}
	}
	s.serveLocked(-1, 0)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.serveLocked(1, 0)
	}
}
