package copies

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// AfterCommitForTest has fn called between each commit and the invalidation that follows it.
func (c *Cache) AfterCommitForTest(fn func()) { c.afterCommit = fn }

// RaiseTimeoutForTest sets how long one try to raise a cache_epoch may take, which is 2 s otherwise.
func (c *Cache) RaiseTimeoutForTest(d time.Duration) { c.raiseTimeout.Store(int64(d)) }

// AwayForTest has readers take Redis for away, or for well again, until the next check, which may come at once.
func (c *Cache) AwayForTest(away bool) { c.link.away.Store(away) }

// CutOffForTest takes this process's way to Redis away for good: nobody answers at addr.
func (c *Cache) CutOffForTest(addr string) {
	l := c.link
	l.cancel()
	l.done.Wait()
	old := l.current.Load()
	l.current.Store(&connection{redis.NewUniversalClient(clientOptions([]string{addr}, "x")), old.nonce})
	_ = old.Close()
}
