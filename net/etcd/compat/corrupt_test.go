package compat

import (
	"google.golang.org/protobuf/proto"
)

// corruptor changes an answer of a kind.
type corruptor func(kind string, response proto.Message)
