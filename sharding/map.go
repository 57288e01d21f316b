package sharding

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Bucket is the unit of placement: a thousandth or so of the people, moved as one. A person's bucket never changes.
type Bucket int32

// ShardID numbers a shard from 0; its schema is named after it.
type ShardID int32

// MaxBuckets bounds how many buckets a cluster may be initialised with.
const MaxBuckets = 65536

// BucketOf returns userID modulo buckets: the plain rule that anyone can compute by hand.
func BucketOf(userID int64, buckets int) Bucket {
	b := userID % int64(buckets)
	if b < 0 {
		b += int64(buckets)
	}
	return Bucket(b)
}

// BucketOfText returns the bucket of a row that is found by a text and not by a person, such as a folded name:
// the first eight bytes of its SHA-256 modulo buckets, fixed for ever.
func BucketOfText(text string, buckets int) Bucket {
	sum := sha256.Sum256([]byte(text))
	return Bucket(binary.BigEndian.Uint64(sum[:8]) % uint64(buckets))
}

// SchemaName is the name of a shard's database (or of its file, without the ending): prefix social gives social_0007.
func SchemaName(prefix string, id ShardID) string { return fmt.Sprintf("%s_%04d", prefix, id) }

// spread assigns buckets to shards round robin, so that user_id modulo shards names the shard by hand when shards divides buckets.
func spread(buckets, shards int) []ShardID {
	out := make([]ShardID, buckets)
	for b := range out {
		out[b] = ShardID(b % shards)
	}
	return out
}
