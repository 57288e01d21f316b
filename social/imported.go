package social

import (
	"context"
	"database/sql"
	"errors"

	"socialctl/sharding"
)

// importedBefore returns the number under which a message of another system was imported, or 0. These keys stay for ever,
// unlike idempotency keys: an import may be taken up again after any time (REVIEW F38).
func (b *Backend) importedBefore(ctx context.Context, q reader, author UserID, from origin) (int64, error) {
	var n int64
	err := q.QueryRow(ctx, `
		SELECT msg_id FROM import_key WHERE bucket = ? AND user_id = ? AND source = ? AND external_id = ?`,
		b.bucket(author), int64(author), []byte(from.source), []byte(from.external)).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

func (b *Backend) rememberImport(ctx context.Context, tx *sharding.Tx, author UserID, from origin, n int64) error {
	bucket := b.bucket(author)
	_, err := tx.Exec(ctx, sharding.Key("import_key", bucket, int64(author), []byte(from.source), []byte(from.external)), `
		INSERT INTO import_key (bucket, user_id, source, external_id, msg_id) VALUES (?, ?, ?, ?, ?)`,
		bucket, int64(author), []byte(from.source), []byte(from.external), n)
	return err
}
