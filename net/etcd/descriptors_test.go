package etcd_test

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The services of locks and elections, which are in a module of etcd's that the tests do not link either: a message is its
// name, and its fields by rising number.
var services = map[string]struct {
	messages []string
	methods  []string
}{
	"v3lockpb.Lock": {
		[]string{
			"LockRequest name:bytes lease:int64", "LockResponse header:ResponseHeader key:bytes",
			"UnlockRequest key:bytes", "UnlockResponse header:ResponseHeader",
		},
		[]string{"Lock LockRequest LockResponse", "Unlock UnlockRequest UnlockResponse"},
	},
	"v3electionpb.Election": {
		[]string{
			"LeaderKey name:bytes key:bytes rev:int64 lease:int64",
			"CampaignRequest name:bytes lease:int64 value:bytes", "CampaignResponse header:ResponseHeader leader:LeaderKey",
			"ProclaimRequest leader:LeaderKey value:bytes", "ProclaimResponse header:ResponseHeader",
			"LeaderRequest name:bytes", "LeaderResponse header:ResponseHeader kv:KeyValue",
			"ResignRequest leader:LeaderKey", "ResignResponse header:ResponseHeader",
		},
		[]string{
			"Campaign CampaignRequest CampaignResponse", "Proclaim ProclaimRequest ProclaimResponse", "Leader LeaderRequest LeaderResponse",
			"Observe LeaderRequest stream:LeaderResponse", "Resign ResignRequest ResignResponse",
		},
	},
}

func init() {
	for name, s := range services {
		if err := register(name, s.messages, s.methods); err != nil {
			panic(err)
		}
	}
}

func register(service string, messages, methods []string) error {
	pkg, name, _ := strings.Cut(service, ".")
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String(pkg + ".proto"), Package: proto.String(pkg), Syntax: proto.String("proto3"),
		Dependency: []string{"rpc.proto", "kv.proto"},
	}
	typeOf := func(name string) *string {
		switch name {
		case "ResponseHeader":
			return proto.String(".etcdserverpb.ResponseHeader")
		case "KeyValue":
			return proto.String(".mvccpb.KeyValue")
		}
		return proto.String("." + pkg + "." + name)
	}
	for _, text := range messages {
		words := strings.Fields(text)
		m := &descriptorpb.DescriptorProto{Name: proto.String(words[0])}
		for i, word := range words[1:] {
			field, kind, _ := strings.Cut(word, ":")
			f := &descriptorpb.FieldDescriptorProto{
				Name: proto.String(field), Number: proto.Int32(int32(i + 1)), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			}
			switch kind {
			case "bytes":
				f.Type = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum()
			case "int64":
				f.Type = descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum()
			default:
				f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), typeOf(kind)
			}
			m.Field = append(m.Field, f)
		}
		file.MessageType = append(file.MessageType, m)
	}
	s := &descriptorpb.ServiceDescriptorProto{Name: proto.String(name)}
	for _, text := range methods {
		words := strings.Fields(text)
		out, stream := strings.CutPrefix(words[2], "stream:")
		s.Method = append(s.Method, &descriptorpb.MethodDescriptorProto{
			Name: proto.String(words[0]), InputType: typeOf(words[1]), OutputType: typeOf(out), ServerStreaming: proto.Bool(stream),
		})
	}
	file.Service = append(file.Service, s)
	d, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		return fmt.Errorf("%s: %w", service, err)
	}
	if err := protoregistry.GlobalFiles.RegisterFile(d); err != nil {
		return err
	}
	for i := range d.Messages().Len() {
		if err := protoregistry.GlobalTypes.RegisterMessage(dynamicpb.NewMessageType(d.Messages().Get(i))); err != nil {
			return err
		}
	}
	return nil
}
