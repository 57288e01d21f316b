// Package social is the domain: people, whom they follow, what they publish, who may see it, and the timeline that each
// person reads.
//
// It owns the tables of the people (social/schema), the one function that says what a reader is due of an author, the
// outbox whose effects cross shards, the fan-out, and the cursors. An exported verb is the bracket of its transactions;
// lower-case functions with a *sharding.Tx work inside one. How copies of rows are kept, and told from stale ones, is
// social/copies, an engine that knows no noun of the domain.
//
// It promises that an acknowledged write is stored with every effect that it owes elsewhere, and that each of them is
// applied exactly once in its outcome, however often it is tried.
//
// It refuses to know HTTP, the command line, which engine a shard runs on, and where a bucket lies.
package social
