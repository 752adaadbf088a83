package server_test

import (
	"testing"

	"go.uber.org/goleak"

	"qkv/index"
	"qkv/net/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The numbers of index and wire are the same, and mean the same.
func TestCodesAreTheSame(t *testing.T) {
	same := map[index.Code]wire.Code{
		index.CodeOK: wire.OK, index.CodeEmptyKey: wire.EmptyKey, index.CodeKeyTooLarge: wire.KeyTooLarge,
		index.CodeValueTooLarge: wire.ValueTooLarge, index.CodeCompacted: wire.Compacted,
		index.CodeFutureRevision: wire.FutureRevision, index.CodeUnavailable: wire.Unavailable, index.CodeUnknown: wire.Unknown,
		index.CodeNotAllowed: wire.NotAllowed, index.CodeOverloaded: wire.Overloaded, index.CodeBadRequest: wire.BadRequest,
		index.CodeNoSpace: wire.NoSpace, index.CodeInternal: wire.Internal, index.CodeFeatureLevel: wire.FeatureLevel,
		index.CodeTooOld: wire.TooOld, index.CodeAmnesia: wire.Amnesia,
	}
	if len(same) != 16 {
		t.Errorf("%d codes", len(same))
	}
	for mine, theirs := range same {
		if uint8(mine) != uint8(theirs) {
			t.Errorf("index has %d where wire has %d, %v", mine, theirs, theirs)
		}
		if a, b := (&index.Error{Code: mine}).Certain(), (&wire.Error{Code: theirs}).Certain(); a != b {
			t.Errorf("%v: certain %v in index, %v in wire", theirs, a, b)
		}
	}
}
