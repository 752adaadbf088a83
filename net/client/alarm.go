package client

import (
	"context"

	"qkv/net/wire"
)

// Alarms returns the raised alarms. If serializable, they are this client's member's view, available without a quorum.
func (c *Client) Alarms(ctx context.Context, serializable bool) ([]Alarm, error) {
	return replicated(ctx, c, wire.OpAlarms, serializable, (*wire.Response).Alarms)
}

// ChangeAlarm raises an alarm, or disarms one or several. Its errors mean the same as those of any other write. The leader raises
// NOSPACE again if its reason still holds.
func (c *Client) ChangeAlarm(ctx context.Context, change AlarmChange) error {
	x := c.newCall(ctx, wire.OpChangeAlarm)
	x.body = wire.AppendChangeAlarmBody(x.body[:0], change)
	_, err := c.written(ctx, x)
	return err
}
