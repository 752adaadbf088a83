package etcd_test

import (
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index/kv"
)

// lagging is a member whose watch hub does nothing until it is let go.
type lagging struct {
	*member
	requests chan func()
}

func (l *lagging) Watch(to kv.WatchStream, r kv.WatchRequest) {
	l.requests <- func() { l.member.Watch(to, r) }
}

// TestWatchAnswersInOrder sends requests of which some are refused before the watch hub has done anything: the answers come in the
// order of the requests.
func TestWatchAnswersInOrder(t *testing.T) {
	l := &lagging{newMember(), make(chan func(), 100)}
	t.Cleanup(func() { close(l.requests) })
	c := pb.NewWatchClient(dial(t, start(t, l, nil)))
	w, err := c.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	create := func(id, revision int64, end string) *pb.WatchRequest {
		return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("b"), RangeEnd: []byte(end), WatchId: id, StartRevision: revision}}}
	}
	remove := func(id int64) *pb.WatchRequest {
		return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}}
	}
	const created, canceled, refused = "created", "canceled", "refused"
	steps := []struct {
		q    *pb.WatchRequest
		want string
	}{
		{create(0, 0, "a"), refused}, // of a stream that the hub does not know yet
		{create(7, 0, ""), created},
		{create(7, 0, ""), refused},
		{create(8, 0, ""), created},
		{create(9, 0, "a"), refused},
		{remove(7), canceled},
		{create(9, -1, ""), refused},
		{create(9, 0, ""), created},
	}
	for _, step := range steps {
		if err := w.Send(step.q); err != nil {
			t.Fatal(err)
		}
	}
	const ofHub = 4
	eventually(t, func() bool { return len(l.requests) >= ofHub })
	go func() {
		for request := range l.requests {
			request()
		}
	}()
	var got, want []string
	for _, step := range steps {
		answer, err := w.Recv()
		if err != nil {
			t.Fatal(err)
		}
		kind := created
		if answer.Canceled {
			kind = canceled
			if answer.Created {
				kind = refused
			}
		}
		got, want = append(got, kind), append(want, step.want)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the answers are\n%v, want\n%v", got, want)
	}
}
