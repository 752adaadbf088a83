package client

// PacketsLost is how many packets the current connection took for lost, and sent.
func (c *Client) PacketsLost() (lost, sent uint64) {
	k := c.current.Load()
	if k == nil {
		return 0, 0
	}
	stats := k.qc.ConnectionStats()
	return stats.PacketsLost, stats.PacketsSent
}
