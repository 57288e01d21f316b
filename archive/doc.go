// Package archive keeps timeline entries that have grown old, in HBase or, in the embedded profile, in a SQLite file
// with the same keys.
//
// It owns the connection to HBase, the row keys, and what must be known to talk to it safely: every call has a
// deadline, the server gives every timestamp, a put asks for a synced log, a table keeps one version of a cell.
//
// It promises that a put which returned is there after the death of any server, that putting or deleting the same row
// again changes nothing, and that rows come back in the order of their keys, which is the order of the timeline. A
// call that failed may have been applied nevertheless: who needs to know reads the row back.
//
// It refuses to know what an entry means, who may see it, when one is old enough, and from which shard it comes. To
// decide what is moved here and back is the business of package social; nothing here is ever taken out of a shard.
package archive
