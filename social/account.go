package social

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"socialctl/sharding"
	"socialctl/social/copies"
)

// Accounts are the people: sign-up, profiles, their end.
type Accounts struct{ b *Backend }

// SignUp is what a new person gives. DisplayName may be empty: the name is shown then.
type SignUp struct{ Name, Password, DisplayName string }

// ProfilePatch changes what is not nil.
type ProfilePatch struct {
	DisplayName, Bio          *string
	Password, CurrentPassword *string
}

// reader is what a transaction and a read outside one have in common.
type reader interface {
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) *sql.Row
	Dialect() sharding.Dialect
}

// accountRow is a row of user_info as the verbs need it.
type accountRow struct {
	id           UserID
	name         string
	passwordHash string
	state        int
	msgCount     int64
	clock        int64
	lastTimeMS   int64
	fansCount    int64
}

func accountOf(ctx context.Context, q reader, bucket sharding.Bucket, id UserID, lock string) (*accountRow, error) {
	row := accountRow{id: id}
	err := q.QueryRow(ctx, `
		SELECT name, password_hash, state, msg_count, clock, last_time_ms, fans_count
		FROM user_info WHERE bucket = ? AND user_id = ? `+lock, bucket, int64(id)).
		Scan(&row.name, &row.passwordHash, &row.state, &row.msgCount, &row.clock, &row.lastTimeMS, &row.fansCount)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read account %d: %w", id, err)
	}
	return &row, nil
}

// lockAccount takes the person's row lock: the first lock of every transaction that changes what belongs to them.
func lockAccount(ctx context.Context, tx *sharding.Tx, bucket sharding.Bucket, id UserID) (*accountRow, error) {
	return accountOf(ctx, tx, bucket, id, "{for update}")
}

// lockLive is lockAccount for somebody who acts: a token of a deleted account is not valid any more.
func (b *Backend) lockLive(ctx context.Context, tx *sharding.Tx, id UserID) (*accountRow, error) {
	acc, err := lockAccount(ctx, tx, b.bucket(id), id)
	if err != nil {
		return nil, err
	}
	if acc == nil || acc.state != accountLive {
		return nil, errorf(CodeTokenInvalid, "", "this account is not in use any more")
	}
	return acc, nil
}

func (b *Backend) readAccount(ctx context.Context, id UserID) (*accountRow, error) {
	var acc *accountRow
	err := b.Cluster.Read(ctx, int64(id), func(ctx context.Context, r *sharding.Reader) error {
		var err error
		acc, err = accountOf(ctx, r, b.bucket(id), id, "")
		return err
	})
	return acc, err
}

// userByName finds who has a name, by its folded form; the error for nobody is not_found.
func (b *Backend) userByName(ctx context.Context, name string) (UserID, error) {
	if checkName(name) != nil {
		return 0, notFound("account")
	}
	folded := foldName(name)
	bucket := b.Cluster.BucketOfText(folded)
	var id int64
	err := b.Cluster.ReadBucket(ctx, bucket, func(ctx context.Context, r *sharding.Reader) error {
		return r.QueryRow(ctx, `SELECT user_id FROM user_name WHERE bucket = ? AND name = ?`, bucket, []byte(folded)).Scan(&id)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return 0, notFound("account")
	}
	return UserID(id), err
}

func checkText(text, pointer, what string, most int) error {
	if !utf8.ValidString(text) {
		return errorf(CodeMalformed, pointer, "the %s is not valid UTF-8", what)
	}
	if len(text) > most*BytesPerGrapheme || uniseg.GraphemeClusterCount(text) > most {
		return errorf(CodeTooLong, pointer, "a %s has at most %d characters", what, most)
	}
	return nil
}

// SignUp makes an account and its first session. The account's row is stored first, pending, with the claim to its name;
// the name's own row decides who has it. Errors: name_invalid, name_taken, password_weak, too_long.
func (a *Accounts) SignUp(ctx context.Context, in SignUp) (Granted, error) {
	if err := checkName(in.Name); err != nil {
		return Granted{}, err
	}
	if err := checkPassword(in.Password, "/password"); err != nil {
		return Granted{}, err
	}
	if err := checkText(in.DisplayName, "/display_name", "display name", MaxDisplayRunes); err != nil {
		return Granted{}, err
	}
	taken := errorf(CodeNameTaken, "/name", "the name %s is taken", in.Name)
	if _, err := a.b.userByName(ctx, in.Name); err == nil {
		return Granted{}, taken
	} else if CodeOf(err) != CodeNotFound {
		return Granted{}, err
	}
	hash, err := a.b.hashPassword(ctx, in.Password)
	if err != nil {
		return Granted{}, err
	}
	id, err := a.create(ctx, in.Name, in.DisplayName, hash)
	if err != nil {
		return Granted{}, err
	}
	return a.b.Sessions.grant(ctx, id, hash, taken)
}

// Create makes an account without a password, for operators and imports: nobody can log in to it until it has one.
func (a *Accounts) Create(ctx context.Context, name, displayName, password string) (UserID, error) {
	if err := errors.Join(checkName(name), checkText(displayName, "/display_name", "display name", MaxDisplayRunes)); err != nil {
		return 0, err
	}
	hash := ""
	if password != "" {
		if err := checkPassword(password, "/password"); err != nil {
			return 0, err
		}
		var err error
		if hash, err = a.b.hashPassword(ctx, password); err != nil {
			return 0, err
		}
	}
	return a.create(ctx, name, displayName, hash)
}

func (a *Accounts) create(ctx context.Context, name, displayName, hash string) (UserID, error) {
	next, err := a.b.userIDs.Next(ctx)
	if err != nil {
		return 0, err
	}
	id := UserID(next)
	if strings.TrimSpace(displayName) == "" {
		displayName = name
	}
	claim := a.b.newEffect(id, effClaimName, 0, claimPayload{Name: foldName(name)})
	err = a.b.Cluster.Write(ctx, next, func(ctx context.Context, tx *sharding.Tx) error {
		if err := insertAccount(ctx, tx, a.b.bucket(id), id, name, displayName, hash, a.b.now()); err != nil {
			return err
		}
		return a.b.emit(ctx, tx, claim)
	})
	if err != nil {
		return 0, fmt.Errorf("store the account: %w", err)
	}
	if a.b.settle(ctx, claim) {
		return 0, errorf(CodeUnavailable, "", "the name cannot be claimed right now; try again with the same name and password, or log in")
	}
	acc, err := a.b.readAccount(ctx, id)
	if err != nil {
		return 0, err
	}
	if acc == nil || acc.state != accountLive {
		return 0, errorf(CodeNameTaken, "/name", "the name %s is taken", name)
	}
	return id, nil
}

func insertAccount(ctx context.Context, tx *sharding.Tx, bucket sharding.Bucket, id UserID, name, displayName, hash string, now int64) error {
	_, err := tx.Exec(ctx, sharding.Key("user_info", bucket, int64(id)), `
		INSERT INTO user_info (bucket, user_id, name, display_name, bio, password_hash, state, msg_count, message_count,
			follow_count, fans_count, clock, last_time_ms, created_ms)
		VALUES (?, ?, ?, ?, '', ?, ?, 0, 0, 0, 0, 1, 0, ?)`, bucket, int64(id), name, displayName, hash, accountPending, now)
	return err
}

// Update changes the profile; a new password needs the current one and ends all other sessions. Errors:
// credentials_invalid, password_weak, too_long.
func (a *Accounts) Update(ctx context.Context, v Viewer, p ProfilePatch) (Account, error) {
	if p.DisplayName != nil {
		if err := checkText(*p.DisplayName, "/display_name", "display name", MaxDisplayRunes); err != nil {
			return Account{}, err
		}
	}
	if p.Bio != nil {
		if err := checkText(*p.Bio, "/bio", "bio", MaxBioRunes); err != nil {
			return Account{}, err
		}
	}
	newHash, confirmed := "", ""
	if p.Password != nil {
		if err := checkPassword(*p.Password, "/password"); err != nil {
			return Account{}, err
		}
		current := ""
		if p.CurrentPassword != nil {
			current = *p.CurrentPassword
		}
		var err error
		if confirmed, err = a.confirm(ctx, v, current, "/current_password"); err != nil {
			return Account{}, err
		}
		if newHash, err = a.b.hashPassword(ctx, *p.Password); err != nil {
			return Account{}, err
		}
	}
	bucket := a.b.bucket(v.UserID)
	stale := []copies.Key{accountKey(v.UserID)}
	if newHash != "" {
		stale = append(stale, sessionKey(v.UserID))
	}
	err := a.b.change(ctx, v.UserID, stale, func(ctx context.Context, tx *sharding.Tx) error {
		acc, err := a.b.lockLive(ctx, tx, v.UserID)
		if err != nil {
			return err
		}
		if newHash != "" && acc.passwordHash != confirmed { // it was changed meanwhile
			return wrongPassword("/current_password")
		}
		set := func(column string, value *string) error {
			if value == nil {
				return nil
			}
			_, err := tx.Exec(ctx, sharding.Key("user_info", bucket, int64(v.UserID)),
				`UPDATE user_info SET `+column+` = ? WHERE bucket = ? AND user_id = ?`, *value, bucket, int64(v.UserID))
			return err
		}
		if newHash != "" {
			if err := errors.Join(set("password_hash", &newHash), a.b.Sessions.endAll(ctx, tx, v.UserID, v.Session)); err != nil {
				return err
			}
		}
		return errors.Join(set("display_name", p.DisplayName), set("bio", p.Bio))
	})
	if err != nil {
		return Account{}, err
	}
	return a.Get(ctx, v, v.UserID)
}

// confirm checks the account's own password before something that a stolen token must not do.
// It returns the hash that it was checked against: the deed has to see that it is still the account's.
func (a *Accounts) confirm(ctx context.Context, v Viewer, password, pointer string) (hash string, err error) {
	acc, err := a.b.readAccount(ctx, v.UserID)
	if err != nil {
		return "", err
	}
	if acc == nil {
		return "", errorf(CodeTokenInvalid, "", "this account is not in use any more")
	}
	ok, err := a.b.passwordMatches(ctx, password[:min(len(password), MaxPassword)], acc.passwordHash)
	if err != nil {
		return "", err
	}
	if !ok || len(password) > MaxPassword {
		return "", wrongPassword(pointer)
	}
	return acc.passwordHash, nil
}

func wrongPassword(pointer string) error {
	return errorf(CodeCredentialsInvalid, pointer, "the current password is wrong")
}

// Delete ends the account, for good: at once for everybody who looks, and by a job for what it left elsewhere. The name
// stays taken. The error for a wrong password is credentials_invalid.
func (a *Accounts) Delete(ctx context.Context, v Viewer, password string) error {
	confirmed, err := a.confirm(ctx, v, password, "/password")
	if err != nil {
		return err
	}
	return a.setState(ctx, v.UserID, accountDeleted, confirmed)
}

// setState puts an account into another state: live, disabled (cannot log in, not shown) or deleted, for good. Where a
// password was confirmed, it has to be the account's still.
func (a *Accounts) setState(ctx context.Context, id UserID, state int, confirmed string) error {
	bucket := a.b.bucket(id)
	var job *effect
	stale := []copies.Key{accountKey(id), sessionKey(id), viewerKey(id)}
	err := a.b.change(ctx, id, stale, func(ctx context.Context, tx *sharding.Tx) error {
		job = nil
		acc, err := lockAccount(ctx, tx, bucket, id)
		if err != nil {
			return err
		}
		if acc == nil || acc.state != accountLive && acc.state != accountDisabled {
			return notFound("account")
		}
		if confirmed != "" && acc.passwordHash != confirmed {
			return wrongPassword("/password")
		}
		if _, err := tx.Exec(ctx, sharding.Key("user_info", bucket, int64(id)),
			`UPDATE user_info SET state = ?, clock = clock + 1 WHERE bucket = ? AND user_id = ?`, state, bucket, int64(id)); err != nil {
			return err
		}
		if state == accountLive {
			return nil
		}
		if err := a.b.Sessions.endAll(ctx, tx, id, ""); err != nil || state != accountDeleted {
			return err
		}
		job = a.b.newEffect(id, effDeleteAccount, id, struct{}{})
		return a.b.emit(ctx, tx, job)
	})
	if err != nil {
		return err
	}
	if job != nil {
		a.b.hint(job)
	}
	return nil
}

// SetPassword gives the account a new password and ends its sessions: for operators.
func (a *Accounts) SetPassword(ctx context.Context, id UserID, password string) error {
	if err := checkPassword(password, "/password"); err != nil {
		return err
	}
	hash, err := a.b.hashPassword(ctx, password)
	if err != nil {
		return err
	}
	bucket := a.b.bucket(id)
	return a.b.change(ctx, id, []copies.Key{sessionKey(id)}, func(ctx context.Context, tx *sharding.Tx) error {
		acc, err := lockAccount(ctx, tx, bucket, id)
		if err != nil {
			return err
		}
		if acc == nil || acc.state != accountLive && acc.state != accountDisabled {
			return notFound("account")
		}
		if _, err := tx.Exec(ctx, sharding.Key("user_info", bucket, int64(id)),
			`UPDATE user_info SET password_hash = ? WHERE bucket = ? AND user_id = ?`, hash, bucket, int64(id)); err != nil {
			return err
		}
		return a.b.Sessions.endAll(ctx, tx, id, "")
	})
}

// Disable and Enable are what an operator does with an account that misbehaves, or did.
func (a *Accounts) Disable(ctx context.Context, id UserID) error {
	return a.setState(ctx, id, accountDisabled, "")
}

// Enable ends Disable.
func (a *Accounts) Enable(ctx context.Context, id UserID) error {
	return a.setState(ctx, id, accountLive, "")
}

// Erase is Delete for an operator, who needs no password.
func (a *Accounts) Erase(ctx context.Context, id UserID) error {
	return a.setState(ctx, id, accountDeleted, "")
}
