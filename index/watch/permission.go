package watch

import (
	"qkv/index"
	"qkv/index/kv"
)

// cancelForbidden cancels the watches whose users may not read any more, or whose login a new password has ended, if users or roles have
// changed since the last call. It visits all subscriptions, about 0.3 us each: no event of the View may be delivered before.
func (h *Hub) cancelForbidden(v *index.View) {
	if v.Auth() == h.auth {
		return
	}
	h.auth = v.Auth()
	if !h.auth.Enabled() {
		return
	}
	for _, s := range h.order {
		for i := len(s.subscriptions) - 1; i >= 0; i-- {
			one := s.subscriptions[i]
			w := kv.Watch{Key: []byte(one.key), End: []byte(one.end)}
			by := v.By(one.by.Name)
			by.Login = one.by.Login
			if err := v.Permits(by, kv.AccessRead, &w); err != nil {
				h.dropWatches(one)
				s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchCanceled, IDs: one.ids, Revision: one.cursor.Revision - 1, Err: err})
			}
		}
	}
}
