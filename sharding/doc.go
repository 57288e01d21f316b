// Package sharding decides where a row lives and guards every write to it.
//
// It owns the SQL drivers, the two dialects, the map from buckets to shards, the epochs that fence a bucket, the
// write bracket that every transaction goes through, the journal of changed keys, the schema versions of the meta
// database and of every shard, and the sequence that gives out user ids.
//
// It promises that a transaction which commits was planned under the shard's current ownership: the shared lock on
// shard_state is taken first, and a bucket whose state changed meanwhile is looked at again under that lock. It
// promises that each changed row of a bucket being moved is in the journal of the same transaction.
//
// It refuses to know what the rows mean: tables come to it as a list with their keys.
package sharding
