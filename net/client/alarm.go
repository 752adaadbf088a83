package client

import (
	"context"

	"qkv/index/kv"
	"qkv/net/wire"
)

type (
	// Alarm is an alarm of the replicated state.
	Alarm = kv.Alarm
	// AlarmChange raises an alarm or disarms some.
	AlarmChange = kv.AlarmChange
)

// Alarms returns the alarms that are raised; serializable ones as the member knows them that serves this client, also
// without a quorum.
func (c *Client) Alarms(ctx context.Context, serializable bool) ([]Alarm, error) {
	return replicated(ctx, c, wire.OpAlarms, serializable, (*wire.Response).Alarms)
}

// ChangeAlarm raises an alarm, or disarms one or several. An error says the same of it as of any other write. The leader
// raises NOSPACE again, where its reason is still there.
func (c *Client) ChangeAlarm(ctx context.Context, change AlarmChange) error {
	x := c.newCall(ctx, wire.OpChangeAlarm)
	x.body = wire.AppendChangeAlarmBody(x.body[:0], change)
	_, err := c.written(ctx, x)
	return err
}
