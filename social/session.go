package social

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"

	"socialctl/sharding"
	"socialctl/social/copies"
)

// Sessions are the log-ins of people. A token names its user and its session, so that any server finds its row; only its
// hash is stored.
type Sessions struct{ b *Backend }

// sessionRow is a row of session.
type sessionRow struct {
	id         string
	hash       []byte
	createdMS  int64
	lastUsedMS int64
	expiresMS  int64
}

// lastUsedEvery is how exact last_used_at is: one write a session and hour at most.
const lastUsedEvery = 3600_000

// LogIn answers a right name and password with a new session. The error for a wrong pair is credentials_invalid, after
// the same time whether the name exists or not.
func (s *Sessions) LogIn(ctx context.Context, name, password string) (Granted, error) {
	wrong := errorf(CodeCredentialsInvalid, "", "name or password is wrong")
	id, err := s.b.userByName(ctx, name)
	if err != nil && CodeOf(err) != CodeNotFound {
		return Granted{}, err
	}
	var acc *accountRow
	if id != 0 {
		if acc, err = s.b.readAccount(ctx, id); err != nil {
			return Granted{}, err
		}
	}
	hash := ""
	if acc != nil && (acc.state == accountLive || acc.state == accountPending) {
		hash = acc.passwordHash
	}
	if len(password) > MaxPassword {
		password, hash = password[:MaxPassword], ""
	}
	ok, err := s.b.passwordMatches(ctx, password, hash)
	if err != nil {
		return Granted{}, err
	}
	if !ok {
		return Granted{}, wrong
	}
	if acc.state == accountPending { // the name is theirs, and their shard has not heard it: a sign-up that got no answer
		claim := s.b.newEffect(id, effClaimName, 0, claimPayload{Name: foldName(acc.name)})
		if err := s.b.applyClaims(ctx, []*effect{claim}); err != nil {
			return Granted{}, err
		}
	}
	return s.grant(ctx, id, hash, wrong)
}

// Grant opens a session for an account without asking for a password: for operators.
func (s *Sessions) Grant(ctx context.Context, id UserID) (Granted, error) {
	acc, err := s.b.readAccount(ctx, id)
	if err != nil {
		return Granted{}, err
	}
	if acc == nil || acc.state != accountLive {
		return Granted{}, notFound("account")
	}
	return s.grant(ctx, id, "", notFound("account"))
}

// grant opens a session, unless the account is not live any more, or the password is another one by now than the one
// whose hash was checked: a log-in that waited must not outlive the change that ends all sessions. Where the account then
// has more than session.max_per_account, those that were used longest ago end, in the same transaction.
func (s *Sessions) grant(ctx context.Context, id UserID, checked string, refused error) (Granted, error) {
	var row sessionRow
	var token string
	err := s.b.change(ctx, id, []copies.Key{sessionKey(id)}, func(ctx context.Context, tx *sharding.Tx) error {
		acc, err := lockAccount(ctx, tx, s.b.bucket(id), id)
		if err != nil {
			return err
		}
		if acc == nil || acc.state != accountLive || checked != "" && acc.passwordHash != checked {
			return refused
		}
		if row, token, err = s.insert(ctx, tx, id); err != nil {
			return err
		}
		return s.trim(ctx, tx, id, row.id)
	})
	if err != nil {
		return Granted{}, fmt.Errorf("open a session: %w", err)
	}
	me, err := s.b.Accounts.Get(ctx, Viewer{UserID: id}, id)
	return Granted{Account: me, Token: token, ExpiresAt: Millis(row.expiresMS)}, err
}

// Authenticate says who a token is. Errors: token_invalid, token_expired.
func (s *Sessions) Authenticate(ctx context.Context, token string) (Viewer, error) {
	v, _, err := s.authenticate(ctx, token, nil)
	return v, err
}

// AuthenticateReader is Authenticate for a request that will read the person's home timeline, its top or further down, so
// many messages or, for 0, the usual number: the versions that this needs are taken in the same exchange.
func (s *Sessions) AuthenticateReader(ctx context.Context, token string, top bool, limit int) (Viewer, *copies.Prefetched, error) {
	n := 0
	if top {
		n = PageRequest{Limit: limit}.limit()
	}
	var keys []copies.Key
	v, tags, err := s.authenticate(ctx, token, func(id UserID) []copies.Key {
		keys = s.b.homeKeys(id, n)
		return keys
	})
	if err != nil || keys == nil { // not known here before: the page will ask for itself
		return v, nil, err
	}
	return v, copies.NewPrefetched(keys, tags), nil
}

// authenticate returns, beside who it is, the tags of what more names of that person.
func (s *Sessions) authenticate(ctx context.Context, token string, more func(UserID) []copies.Key) (Viewer, []copies.Tag, error) {
	invalid := errorf(CodeTokenInvalid, "", "this token is not valid")
	user, rest, ok := strings.Cut(token, ".")
	n, okUser := parseNumber(user)
	sid, _, okRest := strings.Cut(rest, ".")
	if !ok || !okUser || !okRest || len(token) > 200 {
		return Viewer{}, nil, invalid
	}
	id := UserID(n)
	hash := sha256.Sum256([]byte(token))
	var keys []copies.Key
	if known, _ := s.b.logins.Peek(sessionKey(id)); more != nil && sessionIn(known, sid, hash[:]) != nil {
		keys = more(id) // whoever only guesses a token costs no more than its own look
	}
	rows, tags, err := s.load(ctx, id, keys...)
	if err != nil {
		return Viewer{}, nil, err
	}
	row := sessionIn(rows, sid, hash[:])
	if row == nil {
		return Viewer{}, nil, invalid
	}
	if row.expiresMS <= s.b.now() {
		return Viewer{}, nil, errorf(CodeTokenExpired, "", "this token has expired; log in again")
	}
	s.touch(ctx, id, *row)
	return Viewer{UserID: id, Session: row.id}, tags, nil
}

// sessionIn finds the session that a token names and belongs to, or nil.
func sessionIn(rows []sessionRow, id string, hash []byte) *sessionRow {
	for i := range rows {
		if rows[i].id == id && subtle.ConstantTimeCompare(rows[i].hash, hash) == 1 {
			return &rows[i]
		}
	}
	return nil
}

// load reads a person's sessions, from the local copy while its tag says that none has changed. It takes the tags of
// more in the same exchange.
func (s *Sessions) load(ctx context.Context, id UserID, more ...copies.Key) ([]sessionRow, []copies.Tag, error) {
	key := sessionKey(id)
	tags := s.b.cache.Tags(ctx, append(more, key))
	last := len(tags) - 1
	t, tags := tags[last], tags[:last]
	if rows, ok := s.b.logins.Get(key, t); ok {
		return rows, tags, nil
	}
	var out []sessionRow
	err := s.b.Cluster.Read(ctx, int64(id), func(ctx context.Context, r *sharding.Reader) (err error) {
		out, err = s.b.sessionsOf(ctx, r, id)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	s.b.logins.Put(key, t, out)
	return out, tags, nil
}

// touch notes that a session is being used, seldom, and without making anybody wait.
func (s *Sessions) touch(ctx context.Context, id UserID, row sessionRow) {
	now := s.b.now()
	if now-row.lastUsedMS < lastUsedEvery {
		return
	}
	bucket := s.b.bucket(id)
	err := s.b.Cluster.Write(ctx, int64(id), func(ctx context.Context, tx *sharding.Tx) error {
		_, err := tx.Exec(ctx, sharding.Key("session", bucket, int64(id), []byte(row.id)),
			`UPDATE session SET last_used_ms = ? WHERE bucket = ? AND user_id = ? AND session_id = ?`, now, bucket, int64(id), []byte(row.id))
		return err
	})
	if err != nil {
		s.b.log.Debug("note a session's use", "user", id, "error", err)
	}
	_ = s.b.cache.Invalidate(ctx, sessionKey(id)) // an older copy has an older last use, and no harm in it
}

// End ends one of the person's sessions; "current" is the one that asks. The error for an unknown one is not_found.
func (s *Sessions) End(ctx context.Context, v Viewer, sessionID string) error {
	if sessionID == "current" {
		sessionID = v.Session
	}
	found := false
	bucket := s.b.bucket(v.UserID)
	err := s.b.change(ctx, v.UserID, []copies.Key{sessionKey(v.UserID)}, func(ctx context.Context, tx *sharding.Tx) error {
		n, err := tx.Exec(ctx, sharding.Key("session", bucket, int64(v.UserID), []byte(sessionID)),
			`DELETE FROM session WHERE bucket = ? AND user_id = ? AND session_id = ?`, bucket, int64(v.UserID), []byte(sessionID))
		found = n > 0
		return err
	})
	if err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	if !found {
		return notFound("session")
	}
	return nil
}
