package sharding

import (
	"context"
	"fmt"
	"strings"
)

// Prepare makes the table of the plain limits with some people in it.
func (p Plain) Prepare(ctx context.Context, people int) error {
	for _, q := range []string{
		`DROP TABLE IF EXISTS bench_plain`,
		`CREATE TABLE bench_plain (
			bucket INT NOT NULL, user_id BIGINT NOT NULL, kind INT NOT NULL, n BIGINT NOT NULL, value BIGINT NOT NULL,
			content MEDIUMTEXT NOT NULL, PRIMARY KEY (bucket, user_id, kind, n)) {table}`,
	} {
		if _, err := p.db.ExecContext(ctx, p.dialect.expand(q)); err != nil {
			return fmt.Errorf("prepare the plain limits: %w", err)
		}
	}
	row := `(?, ?, 0, 0, 0, '')`
	args := make([]any, 0, 2*people)
	for id := range people {
		args = append(args, id%64, id)
	}
	_, err := p.db.ExecContext(ctx, `INSERT INTO bench_plain (bucket, user_id, kind, n, value, content) VALUES `+
		row+strings.Repeat(","+row, people-1), args...)
	return err
}

// Drop takes the table away.
func (p Plain) Drop(ctx context.Context) error {
	_, err := p.db.ExecContext(ctx, `DROP TABLE IF EXISTS bench_plain`)
	return err
}

// Post is a write transaction with as many statements as publishing a message has: two reads, of which one locks the
// person, three inserts and an update. n is a number that no other call uses.
func (p Plain) Post(ctx context.Context, user int, n int64, content string) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	bucket := user % 64
	var value int64
	if err := tx.QueryRowContext(ctx, `SELECT epoch FROM shard_state WHERE id = 1`).Scan(&value); err != nil {
		return err
	}
	err = tx.QueryRowContext(ctx, p.dialect.SQL(`
		SELECT value FROM bench_plain WHERE bucket = ? AND user_id = ? AND kind = 0 AND n = 0 {for update}`), bucket, user).Scan(&value)
	if err != nil {
		return err
	}
	for kind, text := range []string{content, "", `{"n":17}`} {
		_, err := tx.ExecContext(ctx, `INSERT INTO bench_plain (bucket, user_id, kind, n, value, content) VALUES (?, ?, ?, ?, ?, ?)`,
			bucket, user, kind+1, n, value, text)
		if err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE bench_plain SET value = ? WHERE bucket = ? AND user_id = ? AND kind = 0 AND n = 0`, value+1, bucket, user)
	if err != nil {
		return err
	}
	return tx.Commit()
}
