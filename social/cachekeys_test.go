package social

import (
	"testing"

	"socialctl/social/copies"
)

// The names are in the outbox and in the Redis that servers of two versions share during an update.
func TestCacheKeys(t *testing.T) {
	for got, want := range map[copies.Key]copies.Key{
		messageKey(MessageID{Author: 1024, N: 17}): {Name: "m:1024-17", Owner: 1024},
		accountKey(17):  {Name: "a:17", Owner: 17},
		viewerKey(17):   {Name: "v:17", Owner: 17},
		sessionKey(17):  {Name: "s:17", Owner: 17},
		timelineKey(17): {Name: "t:17", Owner: 17},
	} {
		if got != want {
			t.Errorf("%+v, not %+v", got, want)
		}
	}
}
