package social

import (
	"sync/atomic"
	"time"
)

// A message whose time has to lie further ahead of the clock than aheadMost, because its author's last one or what it
// answers does, is a sign that the clocks of servers differ (REVIEW F34). It is logged once in aheadEvery.
const (
	aheadMost  = 5 * time.Second
	aheadEvery = time.Minute
)

// clockAlarm counts such messages.
type clockAlarm struct {
	count  atomic.Int64
	saidMS atomic.Int64
}

func (b *Backend) watchAhead(msg *stored) {
	now := b.now()
	ahead := time.Duration(msg.timeMS-now) * time.Millisecond
	if ahead <= aheadMost {
		return
	}
	b.aheadOfClock.count.Add(1)
	said := b.aheadOfClock.saidMS.Load()
	if since := now - said; since >= 0 && since < aheadEvery.Milliseconds() || !b.aheadOfClock.saidMS.CompareAndSwap(said, now) {
		return
	}
	b.log.Warn("a message's time is ahead of this server's clock: the clocks of the servers differ, see `socialctl doctor`",
		"message", msg.id.String(), "ahead", ahead)
}

// AheadOfClock is how many messages this process has stored with a time more than 5 s ahead of its clock.
func (b *Backend) AheadOfClock() int64 { return b.aheadOfClock.count.Load() }
