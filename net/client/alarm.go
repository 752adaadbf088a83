package client

import (
	"context"

	"qkv/index/kv"
	"qkv/net/wire"
)

// Alarms returns the raised alarms.
func (a *Admin) Alarms(ctx context.Context, o ReadOptions) ([]kv.Alarm, error) {
	answer, err := asked[wire.List[kv.Alarm]](ctx, a.c, wire.OpAlarms, wire.Ask{Serializable: o.Serializable})
	return answer.All, err
}

// ChangeAlarm raises an alarm, or disarms one or several. Its errors mean the same as those of any other write. The leader raises
// NOSPACE again if its reason still holds.
func (a *Admin) ChangeAlarm(ctx context.Context, change kv.AlarmChange) error {
	return a.c.change(ctx, wire.OpChangeAlarm, wire.Ask{Alarm: change})
}
