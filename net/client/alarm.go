package client

import (
	"context"

	"qkv/index/kv"
	"qkv/net/wire"
)

// Alarms returns the raised alarms of the whole cluster: [kv.NoSpaceAlarm] and [kv.CorruptAlarm]. All other alarms, and the texts of these,
// are in the [Admin.Status] of each member. It needs no permission.
func (a *Admin) Alarms(ctx context.Context, o ReadOptions) ([]kv.Alarm, error) {
	answer, err := asked[wire.List[kv.Alarm]](ctx, a.c, wire.OpAlarms, wire.Ask{Serializable: o.Serializable})
	return answer.All, err
}

// ChangeAlarm raises an alarm of the whole cluster, or disarms one or several; see [kv.AlarmChange]. A repeated change does no harm, so
// repeat it after an unknown outcome. The leader raises NOSPACE again if its reason still holds. The code of the error is MemberNotFound,
// or BadRequest for an alarm of another name.
func (a *Admin) ChangeAlarm(ctx context.Context, change kv.AlarmChange) error {
	return a.c.change(ctx, wire.OpChangeAlarm, wire.Ask{Alarm: change})
}
