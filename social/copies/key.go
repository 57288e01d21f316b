package copies

import (
	"math/rand/v2"
	"time"

	"socialctl/sharding"
)

// Key names a cacheable thing.
type Key struct {
	Name  string // unique in the cluster
	Owner int64  // routing key: the owner's shard decides which cache_epoch counts
}

// Tag is the version of a thing at one moment. The zero Tag is unusable: copies are neither used nor stored under it.
type Tag struct {
	value      string
	epoch      int64
	shard      sharding.ShardID // epochs of two shards are not comparable, and buckets move
	generation uint64
	ok         bool
}

// A tag is 11 printable bytes for 64 random bits. It expires a day after it was made, however often it is read.
const tagLife = 24 * time.Hour

func newTag() string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var text [11]byte
	n := rand.Uint64()
	for i := range text {
		text[i] = digits[n&63]
		n >>= 6
	}
	return string(text[:])
}
