package sharding

import (
	"context"
	"encoding/json"
	"fmt"
)

// journal records the changed keys of buckets that are being moved, in the same transaction: a set of (bucket, table,
// key) whose version rises with each change. It is never consumed by "sequence > checkpoint" (REVIEW F3).
func (tx *Tx) journal(ctx context.Context, changed Changed) error {
	for key := range changed.all() {
		b := key[0].(Bucket)
		if !tx.view.of(b).journal {
			continue
		}
		pk, err := encodeKey(key)
		if err != nil {
			return fmt.Errorf("journal %s: %w", changed.table, err)
		}
		_, err = tx.tx.ExecContext(ctx, tx.Dialect().SQL(`
			INSERT INTO journal (bucket, tbl, pk, version) VALUES (?, ?, ?, 1)
			{upsert bucket, tbl, pk} version = journal.version + 1`), b, []byte(changed.table), pk)
		if err != nil {
			return fmt.Errorf("journal %s: %w", changed.table, err)
		}
	}
	return nil
}

// encodeKey writes a primary key as a JSON array: readable for an operator, one form for both engines.
func encodeKey(key []any) ([]byte, error) {
	out := make([]any, len(key))
	for i, v := range key {
		if raw, ok := v.([]byte); ok {
			out[i] = map[string]string{"hex": fmt.Sprintf("%x", raw)}
			continue
		}
		out[i] = v
	}
	return json.Marshal(out)
}
