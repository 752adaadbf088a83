package node

import (
	"math"
	"math/rand/v2"
	"time"
)

// shape is all that a seed decides before anything runs.
type shape struct {
	members           int
	clients, keys     int
	operations        int // at least so many are begun
	heartbeat         time.Duration
	election          time.Duration
	segmentBytes      int64
	tuning            tuning
	valueMost         int
	think             time.Duration // mean pause of a client between two turns
	ordered           bool          // frames of one class arrive in the order in which they were sent
	delay             time.Duration // median of a frame's way
	spread            float64       // sigma of its logarithm
	loss, dup         float64
	bulk              int64         // bytes a second for pieces of snapshots; 0 is as many as there are
	sync              time.Duration // median of a sync
	lagging           string        // the kind of actor that falls behind; empty is none
	lag               time.Duration // by how much
	faulty            time.Duration // how long faults strike
	faults            []fault
	amnesiacs         int
	crashesInRecovery float64
	porcupine         bool // the second judge looks, too
}

// drawShape makes a seed's shape. Sizes are small, so that what is rare in production happens in every run.
func drawShape(seed uint64) shape {
	r := rand.New(rand.NewPCG(seed, 0x7368617065))
	s := shape{
		members:      3,
		clients:      8 + r.IntN(9),
		keys:         1 + r.IntN(16),
		operations:   1000 + r.IntN(200),
		heartbeat:    100 * time.Millisecond,
		election:     time.Second,
		segmentBytes: 64 << 10,
		valueMost:    pick(r, 16, 256, 256, 1024, 4096),
		ordered:      r.IntN(3) > 0,
		delay:        logUniform(r, 50*time.Microsecond, 5*time.Millisecond),
		spread:       r.Float64(),
		sync:         logUniform(r, 50*time.Microsecond, 8*time.Millisecond),
		faulty:       8*time.Second + time.Duration(r.Int64N(int64(8*time.Second))),
	}
	switch r.IntN(12) {
	case 0:
		s.members = 1
	case 1, 2, 3:
		s.members = 5
	}
	if r.IntN(3) == 0 {
		s.heartbeat = time.Duration(2+r.IntN(9)) * 10 * time.Millisecond
		s.election = s.heartbeat * time.Duration(5+r.IntN(10))
	}
	if r.IntN(3) == 0 {
		s.loss = r.Float64() * 0.05
	}
	if r.IntN(3) == 0 {
		s.lagging = pick(r, "applier", "applier", "log writer", "snapshotter", "segment maker", "consensus")
		s.lag = logUniform(r, 100*time.Microsecond, 50*time.Millisecond)
	}
	if r.IntN(3) == 0 {
		s.bulk = int64(logUniform(r, 20_000, 500_000))
	}
	if r.IntN(3) == 0 {
		s.dup = r.Float64() * 0.2
	}
	if r.IntN(4) == 0 {
		s.crashesInRecovery = r.Float64() * 0.7
	}
	s.tuning = tuning{
		MessageEntryBytes: uint64(logUniform(r, 256, 64<<10)),
		ApplyingBytes:     uint64(logUniform(r, 512, 256<<10)),
		WindowBytes:       int64(logUniform(r, 1<<10, 256<<10)),
		SnapshotBytes:     int64(logUniform(r, 2<<10, 64<<10)),
		SnapshotInterval:  logUniform(r, 50*time.Millisecond, 2*time.Second),
		SnapshotStepBytes: int(logUniform(r, 512, 64<<10)),

		SnapshotChunkBytes: int64(logUniform(r, 1<<10, 64<<10)),
	}
	if s.bulk > 0 {
		s.tuning.SnapshotChunkBytes = min(s.tuning.SnapshotChunkBytes, max(s.bulk/20, 1<<10))
	}
	s.porcupine = r.IntN(10) == 0
	s.think = s.faulty * time.Duration(s.clients) / time.Duration(s.operations) * 3 / 2
	s.faults = drawFaults(r, &s)
	return s
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// logUniform draws so that each order of magnitude is as likely as the others.
func logUniform(r *rand.Rand, least, most time.Duration) time.Duration {
	return time.Duration(math.Exp(math.Log(float64(least)) + r.Float64()*(math.Log(float64(most))-math.Log(float64(least)))))
}

// logNormal draws around a median, with a heavy tail.
func logNormal(r *rand.Rand, median time.Duration, sigma float64) time.Duration {
	return time.Duration(float64(median) * math.Exp(sigma*r.NormFloat64()))
}
