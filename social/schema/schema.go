// Package schema holds the domain's tables: the numbered migrations of a shard, and the list of what moves with a bucket.
package schema

import (
	"embed"
	"io/fs"
)

//go:embed shard/*.sql
var files embed.FS

// Shard returns the migrations of a shard's tables.
func Shard() fs.FS {
	sub, err := fs.Sub(files, "shard")
	if err != nil { // the folder is compiled in
		return files
	}
	return sub
}

// Table is one table whose rows belong to buckets.
type Table struct {
	Name string
	Key  []string // the primary key, bucket first
}

// Tables lists every table of a shard that moves with a bucket.
var Tables = []Table{
	{"user_info", []string{"bucket", "user_id"}},
	{"user_name", []string{"bucket", "name"}},
	{"user_relation", []string{"bucket", "user_id", "kind", "other_id"}},
	{"session", []string{"bucket", "user_id", "session_id"}},
	{"msg_info", []string{"bucket", "user_id", "msg_id"}},
	{"msg_index", []string{"bucket", "user_id", "time_ms", "author_id", "msg_id"}},
	{"msg_msg_relation", []string{"bucket", "referenced_id", "referenced_msg_id", "kind", "reference_id", "reference_msg_id"}},
	{"user_repost", []string{"bucket", "user_id", "referenced_id", "referenced_msg_id"}},
	{"outbox", []string{"bucket", "user_id", "event_id"}},
	{"idempotency", []string{"bucket", "user_id", "key_hash"}},
	{"import_key", []string{"bucket", "user_id", "source", "external_id"}},
}
