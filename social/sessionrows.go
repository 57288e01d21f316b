package social

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"socialctl/sharding"
)

// sessionPage bounds the sessions of one statement. An account holds fewer, unless session.max_per_account was lowered.
const sessionPage = 500

// List returns the person's live sessions, newest first. Errors: cursor_invalid.
func (s *Sessions) List(ctx context.Context, v Viewer, p PageRequest) (Page[Session], error) {
	rows, _, err := s.load(ctx, v.UserID)
	if err != nil {
		return Page[Session]{}, err
	}
	return list[sessionRow, Session]{
		secret:  s.b.Cluster.Secret(),
		binding: binding("sessions", v.UserID.String(), v, ""),
		read: func(_ context.Context, from seek, n int) ([]sessionRow, error) {
			return among(from, rows, (*sessionRow).position, n), nil
		},
		at:   (*sessionRow).position,
		keep: func(row *sessionRow) bool { return row.expiresMS > s.b.now() },
		show: func(_ context.Context, rows []sessionRow, emit func(int, Session)) error {
			for i, row := range rows {
				emit(i, Session{ID: row.id, CreatedAt: Millis(row.createdMS), LastUsedAt: Millis(row.lastUsedMS),
					ExpiresAt: Millis(row.expiresMS), Current: row.id == v.Session})
			}
			return nil
		},
	}.page(ctx, p)
}

// position is the session's place in the list: when it began, and then its random number.
func (r *sessionRow) position() Position {
	n, _ := strconv.ParseUint(r.id, 16, 64)
	return Position{TimeMS: r.createdMS, N: int64(n >> 1)}
}

func (s *Sessions) insert(ctx context.Context, tx *sharding.Tx, id UserID) (sessionRow, string, error) {
	raw := make([]byte, 8+24)
	if _, err := rand.Read(raw); err != nil {
		return sessionRow{}, "", err
	}
	now := s.b.now()
	row := sessionRow{id: hex.EncodeToString(raw[:8]), createdMS: now, lastUsedMS: now, expiresMS: now + s.b.Config.Session.TTL.Milliseconds()}
	token := fmt.Sprintf("%d.%s.%s", id, row.id, base64.RawURLEncoding.EncodeToString(raw[8:]))
	hash := sha256.Sum256([]byte(token))
	row.hash = hash[:]
	bucket := s.b.bucket(id)
	_, err := tx.Exec(ctx, sharding.Key("session", bucket, int64(id), []byte(row.id)), `
		INSERT INTO session (bucket, user_id, session_id, token_hash, created_ms, last_used_ms, expires_ms)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, bucket, int64(id), []byte(row.id), row.hash, row.createdMS, row.lastUsedMS, row.expiresMS)
	return row, token, err
}

// trim ends what has run out, and what was used longest ago beyond session.max_per_account; the one that has just begun
// stays. The account's row is locked, so that log-ins side by side do not each count without the other. How long ago one
// was used is known to the hour.
func (s *Sessions) trim(ctx context.Context, tx *sharding.Tx, id UserID, begun string) error {
	rows, err := s.b.sessionsOf(ctx, tx, id)
	if err != nil {
		return err
	}
	now := s.b.now()
	slices.SortFunc(rows, func(x, y sessionRow) int {
		return cmp.Or(cmp.Compare(y.lastUsedMS, x.lastUsedMS), cmp.Compare(y.createdMS, x.createdMS), cmp.Compare(x.id, y.id))
	})
	room := s.b.Config.Session.MaxPerAccount - 1
	var ended []string
	for _, row := range rows {
		switch {
		case row.id == begun:
		case row.expiresMS <= now || room == 0:
			ended = append(ended, row.id)
		default:
			room--
		}
	}
	return s.b.deleteSessions(ctx, tx, id, ended)
}

// endAll ends every session of the account but the one named, whatever their number; inside the transaction that changes
// the password or the account's state.
func (s *Sessions) endAll(ctx context.Context, tx *sharding.Tx, id UserID, but string) error {
	rows, err := s.b.sessionsOf(ctx, tx, id)
	if err != nil {
		return err
	}
	var ended []string
	for _, row := range rows {
		if row.id != but {
			ended = append(ended, row.id)
		}
	}
	return s.b.deleteSessions(ctx, tx, id, ended)
}

func (b *Backend) deleteSessions(ctx context.Context, tx *sharding.Tx, id UserID, ended []string) error {
	for part := range slices.Chunk(ended, sessionPage) {
		args := make([]any, 0, 3*len(part))
		for _, session := range part {
			args = append(args, b.bucket(id), int64(id), []byte(session))
		}
		if _, err := tx.Exec(ctx, sharding.KeysIn("session", args, 3, 3),
			`DELETE FROM session WHERE `+tx.Dialect().In("bucket, user_id, session_id", len(part)), args...); err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
	}
	return nil
}

// sessionsOf reads all of an account's sessions, newest first: a session that were left out could not be ended.
func (b *Backend) sessionsOf(ctx context.Context, q reader, id UserID) ([]sessionRow, error) {
	var all []sessionRow
	for {
		after := ""
		if len(all) > 0 {
			after = all[len(all)-1].id
		}
		page, err := b.sessionsAfter(ctx, q, id, after)
		if err != nil {
			return nil, fmt.Errorf("read sessions: %w", err)
		}
		if all = append(all, page...); len(page) < sessionPage {
			break
		}
	}
	slices.SortFunc(all, func(x, y sessionRow) int { return x.position().Compare(y.position()) })
	return all, nil
}

func (b *Backend) sessionsAfter(ctx context.Context, q reader, id UserID, after string) ([]sessionRow, error) {
	rows, err := q.Query(ctx, `
		SELECT session_id, token_hash, created_ms, last_used_ms, expires_ms
		FROM session WHERE bucket = ? AND user_id = ? AND session_id > ? ORDER BY session_id LIMIT ?`,
		b.bucket(id), int64(id), []byte(after), sessionPage)
	if err != nil {
		return nil, err
	}
	var out []sessionRow
	for rows.Next() {
		var row sessionRow
		if err := rows.Scan(&row.id, &row.hash, &row.createdMS, &row.lastUsedMS, &row.expiresMS); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, row)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}
