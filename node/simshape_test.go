package node

import (
	"math"
	"math/rand/v2"
	"time"

	"qkv/internal/limits"
)

// shape is all that a seed decides before anything runs.
type shape struct {
	members           int
	spares            int  // hosts that members may be added on; without any the membership stays as it is
	rivals            bool // two of them may start under one name
	secret            bool // members are added that have the cluster secret
	clients, keys     int
	operations        int // at least so many are begun
	heartbeat         time.Duration
	election          time.Duration
	segmentBytes      int64
	historyBytes      int64 // 0: hostHistory
	historyAge        time.Duration
	memory            int64 // of keys and values; 0: no bound
	limits            limits.Tunable
	valueMost         int
	large             float64       // share of values that are larger than a segment of the log
	think             time.Duration // mean pause of a client between two turns
	ordered           bool          // frames of one class arrive in the order in which they were sent, also before all heals
	delay             time.Duration // median of a frame's way
	spread            float64       // sigma of its logarithm
	loss, dup         float64
	bulk              int64         // bytes a second for pieces of snapshots; 0 is as many as there are
	piece             int64         // bytes of such a piece; 0 is as many as in package peer
	sync, read        time.Duration // median of a sync, and of a read of the disk
	freshClocks       bool          // a process's clock begins with the process
	lagging           string        // the kind of actor that falls behind; empty is none
	lag               time.Duration // by how much
	faulty            time.Duration // how long faults inject
	faults            []fault
	calm              bool           // nothing ever goes wrong
	tight             bool           // bounds are so small that they are reached
	roomy             limits.Tunable // those beside them
	amnesiacs         int
	crashesInRecovery float64
	porcupine         bool  // the second judge looks, too
	quota             int64 // 0: none
	liar              *lies // nil: no member lies
	cramped           []cramp
	auth              bool    // users and roles change; else authentication stays off
	backup            bool    // a backup follows the cluster
	partHarm          float64 // the probability that parts of a member are harmed before it starts
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
		large:        0.002,
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
	if m := rand.New(rand.NewPCG(seed, 0x6d656d62)); m.IntN(4) == 0 {
		s.members, s.spares = pick(m, 1, 1, 2, 3, 3, 3, 4, 5, 6, 7), 8
		s.rivals, s.secret = m.IntN(3) == 0, m.IntN(2) == 0
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
	s.read, s.freshClocks = logUniform(r, time.Microsecond, s.sync), r.IntN(2) == 0
	s.limits = limits.Defaults()
	s.limits.MessageEntriesBytes = uint64(logUniform(r, 256, 64<<10))
	s.limits.ApplyingBytes = uint64(logUniform(r, 512, 256<<10))
	s.limits.WindowBytes = int64(logUniform(r, 1<<10, 256<<10))
	s.limits.SnapshotBytes = int64(logUniform(r, 2<<10, 64<<10))
	s.limits.ReserveRate = int64(logUniform(rand.New(rand.NewPCG(seed, 0x72657365727665)), 16, 1<<20))
	s.limits.SnapshotStepBytes = int(logUniform(r, 512, 64<<10))
	s.limits.CheckInterval = 10 * logUniform(r, 50*time.Millisecond, 2*time.Second)
	s.limits.Watches = drawWatches(rand.New(rand.NewPCG(seed, 0x7761746368)))
	s.piece = int64(logUniform(r, 1<<10, 64<<10))
	drawIndex(r, &s)
	s.limits.LeaseLengthening = logUniform(rand.New(rand.NewPCG(seed, 0x6c65617365)), time.Second, limits.LeaseLengthening)
	s.limits.Index.Sessions = drawSessions(rand.New(rand.NewPCG(seed, 0x73657373)))
	extents := rand.New(rand.NewPCG(seed, 0x657874))
	s.limits.Index.ExtentBytes = int64(logUniform(extents, 1<<10, 64<<10))
	s.limits.Index.BaseLeast = int64(logUniform(extents, 1<<10, 256<<10))
	s.limits.Index.ColdBytes = int(logUniform(extents, 1, 100))
	s.limits.Index.PieceBytes = int64(logUniform(extents, 256, 16<<10))
	s.memory = pick(extents, 0, 1, int64(logUniform(extents, 64<<10, 1<<20)))
	s.roomy = s.limits
	if s.tight = r.IntN(2) == 0; s.tight {
		drawTight(r, &s.limits)
		s.limits.CatchUpLeast = int64(logUniform(rand.New(rand.NewPCG(seed, 0x70616365)), 64<<10, 1<<30))
	}
	if s.bulk > 0 {
		s.piece = min(s.piece, max(s.bulk/20, 1<<10))
	}
	s.porcupine = r.IntN(3) == 0
	s.quota = drawQuota(rand.New(rand.NewPCG(seed, 0x71756f7461)), &s)
	s.think = s.faulty * time.Duration(s.clients) / time.Duration(s.operations) * 3 / 2
	switch {
	case s.spares > 0:
		s.faults = drawFaults(r, &s)
	case r.IntN(10) == 0:
		s.soothe()
	default:
		s.faults = drawFaults(r, &s)
	}
	drawLiar(rand.New(rand.NewPCG(seed, 0x6c696172)), &s)
	drawCramped(rand.New(rand.NewPCG(seed, 0x6372616d70)), &s)
	drawAuth(rand.New(rand.NewPCG(seed, 0x61757468)), &s)
	s.backup = drawBackup(rand.New(rand.NewPCG(seed, 0x6261636b)))
	drawParts(rand.New(rand.NewPCG(seed, 0x7061727473)), &s)
	return s
}

// soothe takes everything out of a shape that may go wrong but for faults.
func (s *shape) soothe() {
	s.calm, s.tight, s.limits, s.dup = true, false, s.roomy, 0
	s.loss, s.lagging, s.crashesInRecovery, s.ordered = 0, "", 0, true
	s.delay, s.spread, s.sync = min(s.delay, time.Millisecond), min(s.spread, 0.5), min(s.sync, time.Millisecond)
}

// drawIndex draws the bounds of a state and of its history. Compaction never reaches what the checker has not seen yet: a
// history holds what one batch of the applier adds.
func drawIndex(r *rand.Rand, s *shape) {
	l := &s.limits.Index
	l.SlabBytes, l.EvacuationBytes = 1<<10<<r.IntN(7), int64(logUniform(r, 1, 64<<10))
	l.CountedRows = r.IntN(20)
	if r.IntN(2) == 0 {
		s.limits.HistoryRevisions, l.CompactionWork = int64(logUniform(r, 300, 600)), int64(logUniform(r, 1, 16<<10))
	}
}

// drawQuota draws a quota that is reached: some of what all keys weigh together, when all of them are there, and what the keys of
// leasers and repeaters weigh at most, which nobody deletes to make room.
func drawQuota(r *rand.Rand, s *shape) int64 {
	if r.IntN(4) > 0 {
		return 0
	}
	const others = (5*3 + 4*3) * (64 + 16) * 5 / 4
	return others + int64(float64(max(s.keys*(64+s.valueMost/2), 4*(64+s.valueMost)))*(0.5+r.Float64()))
}

// drawWatches draws the bounds of a watch hub, so small that revisions come in fragments and steps are many.
func drawWatches(r *rand.Rand) limits.Watches {
	l := limits.Watches{
		StepWork: int(logUniform(r, 5, 5000)), FrameBytes: int(logUniform(r, 20, 20_000)), KeyVersions: int(logUniform(r, 2, 1000)),
		Progress: logUniform(r, 100*time.Millisecond, 10*time.Second),
	}
	l.FragmentBytes = l.FrameBytes * (1 + r.IntN(4))
	l.PendingBytes = int(logUniform(r, 20, 100_000))
	return l
}

// drawTight makes the bounds small that only a large load reaches otherwise.
func drawTight(r *rand.Rand, l *limits.Tunable) {
	l.BatchBytes, l.BatchCommands = int(logUniform(r, 64, 16<<10)), int(logUniform(r, 1, 32))
	l.GroupBytes, l.OrderBytes = int64(logUniform(r, 256, 64<<10)), int64(logUniform(r, 256, 64<<10))
	l.InflightBytes, l.InflightMessages = l.MessageEntriesBytes*uint64(1+r.IntN(8)), 1+r.IntN(16)
	l.UncommittedBytes = uint64(logUniform(r, 64, 64<<10))
	l.ForwardBytesInflight = int64(logUniform(r, 64, 16<<10))
	l.ProposalBytesWaiting = int64(logUniform(r, 512, 16<<10)) // a member's own announcement fits
	l.PeerMessagesWaiting = 2 + r.IntN(15)
	l.SnapshotFramesWaiting = 1 + r.IntN(4)
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
