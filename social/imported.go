package social

import (
	"context"
	"fmt"

	"socialctl/sharding"
)

// importName names an imported message as its author's shard remembers it. These names stay for ever, unlike idempotency
// keys: an import may be taken up again after any time (REVIEW F38).
type importName struct {
	author           UserID
	source, external string
}

// namedMessage is a message by its name of an import.
type namedMessage struct {
	name importName
	n    int64
}

// Imported looks up what an external message became; zero where it was not imported.
func (m *Messages) Imported(ctx context.Context, author UserID, source, external string) (MessageID, error) {
	name := importName{author, source, external}
	known, err := m.b.importedAlready(ctx, []importName{name})
	return known[name], err
}

// importedAlready finds what an earlier run has stored. It saves a resumed import the transactions; the transaction that
// stores a message looks again.
func (b *Backend) importedAlready(ctx context.Context, names []importName) (map[importName]MessageID, error) {
	rows, err := gather(ctx, b.Cluster, names, func(n importName) UserID { return n.author },
		func(ctx context.Context, r *sharding.Reader, part []importName, out []namedMessage) ([]namedMessage, error) {
			found, err := b.importedAmong(ctx, r, part)
			return append(out, found...), err
		})
	if err != nil {
		return nil, fmt.Errorf("look up what was imported before: %w", err)
	}
	known := make(map[importName]MessageID, len(rows))
	for _, f := range rows {
		known[f.name] = MessageID{f.name.author, f.n}
	}
	return known, nil
}

// importedAmong reads which of these names of one shard, maxKeys at most, are taken.
func (b *Backend) importedAmong(ctx context.Context, q reader, names []importName) ([]namedMessage, error) {
	args := make([]any, 0, 4*len(names))
	for _, n := range names {
		args = append(args, b.bucket(n.author), int64(n.author), []byte(n.source), []byte(n.external))
	}
	rows, err := q.Query(ctx, `
		SELECT user_id, source, external_id, msg_id FROM import_key {primary}
		WHERE `+q.Dialect().In("bucket, user_id, source, external_id", len(names)), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []namedMessage
	for rows.Next() {
		var f namedMessage
		if err := rows.Scan(&f.name.author, &f.name.source, &f.name.external, &f.n); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, rows.Err()
}

// rememberImports stores the names of messages of one shard.
func (b *Backend) rememberImports(ctx context.Context, tx *sharding.Tx, list []namedMessage) error {
	args := make([]any, 0, 5*len(list))
	for _, m := range list {
		args = append(args, b.bucket(m.name.author), int64(m.name.author), []byte(m.name.source), []byte(m.name.external), m.n)
	}
	_, err := tx.Exec(ctx, sharding.KeysIn("import_key", args, 5, 4), `
		INSERT INTO import_key (bucket, user_id, source, external_id, msg_id)
		VALUES `+sharding.Values(5, len(list)), args...)
	if err != nil {
		return fmt.Errorf("remember imported messages: %w", err)
	}
	return nil
}
