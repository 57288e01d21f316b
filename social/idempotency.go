package social

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"socialctl/sharding"
)

// Keys remembers answers under idempotency keys, for 24 hours. A key's row lies in the author's bucket and is written in
// the message's own transaction: there is no instant at which one is there without the other.
type Keys struct{ b *Backend }

// KeyUse is one use of an Idempotency-Key; the zero value is none. Route and BodyHash are what must be the same.
type KeyUse struct {
	Key      string
	Route    string
	BodyHash [32]byte
}

func (k KeyUse) hashes() (key, use []byte) {
	a, b := sha256.Sum256([]byte(k.Key)), sha256.Sum256(append([]byte(k.Route+"\n"), k.BodyHash[:]...))
	return a[:], b[:]
}

// Replay is the answer that was given before; it is also the error of a verb that found its key used meanwhile. Status 0
// means that the message was stored and the answer was not kept, because the server stopped between the two: Message is
// to be answered then, as created unless it was Repeated, and kept.
type Replay struct {
	Status   int
	Body     []byte
	Message  MessageID
	Repeated bool // Message is a repost that there was before the key was used
}

// answerRepeated stands in place of the answer, until that is kept, where Replay.Repeated is to be said.
const answerRepeated = "repeated"

func (r *Replay) Error() string { return "answered before under this idempotency key" }

// Replayed is the message to answer with where the first answer was not kept. The server that stored it may have died
// before it told the others: from this answer on they show it. Errors: not_found, unavailable.
func (m *Messages) Replayed(ctx context.Context, v Viewer, r *Replay) (*Message, error) {
	if err := m.b.cache.Invalidate(ctx, timelineKey(v.UserID), viewerKey(v.UserID)); err != nil {
		return nil, err
	}
	return m.Get(ctx, v, r.Message)
}

// inProgressFor is how long a stored message without its answer counts as a request that is still running.
const inProgressFor = 5_000

// Begin returns the answer to give again, or nil to go on. Errors: idempotency_key_reused, idempotency_in_progress.
func (k *Keys) Begin(ctx context.Context, v Viewer, use KeyUse) (*Replay, error) {
	var replay *Replay
	err := k.b.Cluster.Read(ctx, int64(v.UserID), func(ctx context.Context, r *sharding.Reader) error {
		var err error
		replay, err = k.find(ctx, r, v.UserID, use)
		return err
	})
	return replay, err
}

func (k *Keys) find(ctx context.Context, q reader, user UserID, use KeyUse) (*Replay, error) {
	key, want := use.hashes()
	var have []byte
	var status int
	var answer string
	var n, created int64
	err := q.QueryRow(ctx, `
		SELECT use_hash, status, answer, msg_id, created_ms FROM idempotency WHERE bucket = ? AND user_id = ? AND key_hash = ?`,
		k.b.bucket(user), int64(user), key).Scan(&have, &status, &answer, &n, &created)
	now := k.b.now()
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && now-created > keyLife.Milliseconds():
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read idempotency key: %w", err)
	case string(have) != string(want):
		return nil, errorf(CodeIdempotencyKeyReused, "", "this Idempotency-Key was used for another request")
	case status == 0 && now-created < inProgressFor:
		return nil, errorf(CodeIdempotencyInProgress, "", "the first request with this Idempotency-Key is still running")
	}
	if status == 0 {
		return &Replay{Message: MessageID{user, n}, Repeated: answer == answerRepeated}, nil
	}
	return &Replay{Status: status, Body: []byte(answer), Message: MessageID{user, n}}, nil
}

// claim writes the key's row beside the message n, under the author's row lock; a key that is there already is the error.
func (k *Keys) claim(ctx context.Context, tx *sharding.Tx, user UserID, use KeyUse, n int64) error {
	replay, err := k.find(ctx, tx, user, use)
	if err != nil {
		return err
	}
	if replay != nil {
		return replay
	}
	if err := k.dropExpired(ctx, tx, user); err != nil {
		return err
	}
	return k.put(ctx, tx, user, use, 0, "", n)
}

func (k *Keys) put(ctx context.Context, tx *sharding.Tx, user UserID, use KeyUse, status int, answer string, n int64) error {
	key, want := use.hashes()
	_, err := tx.Exec(ctx, sharding.Key("idempotency", k.b.bucket(user), int64(user), key), `
		INSERT INTO idempotency (bucket, user_id, key_hash, use_hash, status, answer, msg_id, created_ms)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		{upsert bucket, user_id, key_hash} use_hash = {new use_hash}, status = {new status}, answer = {new answer},
			msg_id = {new msg_id}, created_ms = {new created_ms}`,
		k.b.bucket(user), int64(user), key, want, status, answer, n, k.b.now())
	if err != nil {
		return fmt.Errorf("store idempotency key: %w", err)
	}
	return nil
}

// Keep stores the answer that is about to be given: every 2xx and 4xx, never a 5xx.
func (k *Keys) Keep(ctx context.Context, v Viewer, use KeyUse, status int, body []byte) error {
	return k.b.Cluster.Write(ctx, int64(v.UserID), func(ctx context.Context, tx *sharding.Tx) error {
		if _, err := k.b.lockLive(ctx, tx, v.UserID); err != nil {
			return err
		}
		key, same := use.hashes()
		n, err := tx.Exec(ctx, sharding.Key("idempotency", k.b.bucket(v.UserID), int64(v.UserID), key), `
			UPDATE idempotency SET status = ?, answer = ?
			WHERE bucket = ? AND user_id = ? AND key_hash = ? AND status = 0 AND use_hash = ? AND created_ms >= ?`,
			status, string(body), k.b.bucket(v.UserID), int64(v.UserID), key, same, k.b.now()-keyLife.Milliseconds())
		if err != nil || n > 0 {
			return err
		}
		if replay, err := k.find(ctx, tx, v.UserID, use); replay != nil || err != nil {
			return nil // somebody else's answer stands
		}
		return k.put(ctx, tx, v.UserID, use, status, string(body), 0)
	})
}

// dropExpired takes out some of the person's keys that have run out: nothing else reaps them.
func (k *Keys) dropExpired(ctx context.Context, tx *sharding.Tx, user UserID) error {
	bucket := k.b.bucket(user)
	rows, err := tx.Query(ctx, `
		SELECT key_hash FROM idempotency WHERE bucket = ? AND user_id = ? AND created_ms < ? LIMIT 20`,
		bucket, int64(user), k.b.now()-keyLife.Milliseconds())
	if err != nil {
		return err
	}
	var keys [][]byte
	for rows.Next() {
		var key []byte
		if err := rows.Scan(&key); err != nil {
			_ = rows.Close()
			return err
		}
		keys = append(keys, key)
	}
	if err := errors.Join(rows.Close(), rows.Err()); err != nil {
		return err
	}
	for _, key := range keys {
		if _, err := tx.Exec(ctx, sharding.Key("idempotency", bucket, int64(user), key),
			`DELETE FROM idempotency WHERE bucket = ? AND user_id = ? AND key_hash = ?`, bucket, int64(user), key); err != nil {
			return err
		}
	}
	return nil
}
