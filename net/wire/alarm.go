package wire

import (
	"math"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// AppendChangeAlarmBody appends the body of a change of an alarm. A list of alarms has the same body as a list of members.
func AppendChangeAlarmBody(dst []byte, c kv.AlarmChange) []byte {
	return pack.AppendUint(pack.AppendUint(pack.AppendBool(dst, c.Raise), c.Member), uint64(c.Kind))
}

func readChangeAlarm(r *pack.Reader) kv.AlarmChange {
	// A kind that does not fit becomes 255, which is unknown.
	return kv.AlarmChange{Raise: r.Bool(), Alarm: kv.Alarm{Member: r.Uint(), Kind: kv.AlarmKind(min(r.Uint(), math.MaxUint8))}}
}

// AlarmsBytes bounds what AppendAlarms appends.
func AlarmsBytes(alarms []kv.Alarm) int { return AnswerBytes + 12*len(alarms) }

// AppendAlarms appends the frame that answers a list of alarms.
func AppendAlarms(dst []byte, id uint64, alarms []kv.Alarm) []byte {
	guess := AlarmsBytes(alarms)
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 3), id), uint64(kv.OK))
	dst = pack.AppendArray(dst, len(alarms))
	for _, a := range alarms {
		dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 2), a.Member), uint64(a.Kind))
	}
	return endFrame(dst, start, guess)
}

// Alarms reads the answer to a list of alarms.
func (p *Response) Alarms() ([]kv.Alarm, error) {
	r, s := p.body(1, 1)
	alarms := readArray(&r, func(r *pack.Reader) kv.Alarm {
		s := r.Struct(2)
		a := kv.Alarm{Member: r.Uint(), Kind: kv.AlarmKind(min(r.Uint(), math.MaxUint8))}
		r.End(s)
		return a
	})
	return alarms, p.end(&r, s)
}
