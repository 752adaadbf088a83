package wire

import (
	"reflect"
	"testing"
	"time"

	"qkv/index/kv"
)

func changeAlarm(id uint64, c kv.AlarmChange) []byte {
	return AppendRequest(nil, id, OpChangeAlarm, time.Second, AppendChangeAlarmBody(nil, c))
}

var exampleAlarms = []kv.Alarm{{Member: 300, Kind: kv.AlarmNoSpace}, {Member: 0x8e9e05c52164694d, Kind: kv.AlarmCorrupt}}

func init() {
	examples = append(examples, []struct {
		name   string
		frame  []byte
		fields array
	}{
		{"list of alarms", AppendRequest(nil, 1, OpAlarms, time.Second, AppendMembersBody(nil, true)), array{1, 40, 1000, 1}},
		{"raise an alarm", changeAlarm(2, kv.AlarmChange{Raise: true, Alarm: exampleAlarms[0]}), array{2, 41, 1000, true, 300, 1}},
		{"disarm all alarms", changeAlarm(3, kv.AlarmChange{}), array{3, 41, 1000, false, 0, 0}},
		{"alarms", AppendAlarms(nil, 1, exampleAlarms), array{1, 0, array{array{300, 1}, array{uint64(0x8e9e05c52164694d), 2}}}},
	}...)
}

func TestAlarmsReadBack(t *testing.T) {
	for _, want := range []kv.AlarmChange{{}, {Raise: true, Alarm: exampleAlarms[1]}, {Alarm: exampleAlarms[0]}} {
		var q Request
		if err := ReadRequest(frameOf(t, changeAlarm(7, want)), &q); err != nil || q.ID != 7 || q.Alarm != want || !q.Write() || q.Check(kv.Bounds{}) != nil {
			t.Errorf("read %+v, wrote %+v: %v", q.Alarm, want, err)
		}
	}
	var q Request
	if err := ReadRequest(frameOf(t, changeAlarm(7, kv.AlarmChange{Alarm: kv.Alarm{Kind: 3}})), &q); err != nil || q.Check(kv.Bounds{}) == nil {
		t.Errorf("an alarm of kind 3 is taken: %v", err)
	}
	p, err := ReadResponse(frameOf(t, AppendAlarms(nil, 1, exampleAlarms)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Alarms(); err != nil || !reflect.DeepEqual(got, exampleAlarms) {
		t.Errorf("alarms %v, %v", got, err)
	}
	if got, most := len(AppendAlarms(nil, 1<<63, exampleAlarms)), AlarmsBytes(exampleAlarms); got > most {
		t.Errorf("an answer of %d bytes, and at most %d were announced", got, most)
	}
}
