package limits

import "time"

// What `qkv doctor` warns of.
const (
	// DoctorLag is a lag in entries that a healthy follower never has: the alert QkvMemberLags has the same bound.
	DoctorLag = 10_000
	// DoctorSyncWarning and DoctorSyncFailure are parts of the election timeout. A leader whose syncs take a tenth has few retries left,
	// and at half of the timeout a single slow sync may cost it its office.
	DoctorSyncWarning = 10
	DoctorSyncFailure = 2
	// DoctorElection is the default election timeout, for a disk without a running member.
	DoctorElection = time.Second
	// DoctorSync is etcd's advice for the 99th percentile of a sync.
	DoctorSync = 10 * time.Millisecond
	// DoctorSyncTime bounds the measurement of a disk: long enough for a p99 of several hundred syncs on a good disk.
	DoctorSyncTime = time.Second
	// DoctorClock is the difference of clocks that no host with a time service has.
	DoctorClock = time.Second
	// DoctorCertificate is a month, two weeks before the alarm CERT: a doctor that runs monthly reports each certificate in time.
	DoctorCertificate = 30 * 24 * time.Hour
	// DoctorMTU is the least MTU of IPv6. QUIC's first packets have 1200 bytes of payload, with up to 48 bytes of headers.
	DoctorMTU = 1280
	// DoctorDiskFree is the part of a disk that should be free while no member runs there, which would tell what it needs: a tenth.
	DoctorDiskFree = 10
	// DoctorTimerSlack is the slack that a member gives itself (package cli, timerslack.go).
	DoctorTimerSlack = time.Millisecond
	// DoctorUDPBuffer is the buffer that quic-go asks the kernel for.
	DoctorUDPBuffer = 7 << 20
)

// BundleMetricsBytes bounds the metrics of one member in a bundle for support: some 100 KiB in practice.
const BundleMetricsBytes = 4 << 20
