package social

import (
	"context"
	"strings"
)

func (p *profile) card() AuthorCard {
	return AuthorCard{ID: p.id, Name: p.name, DisplayName: p.display}
}

func (p *profile) view() Account {
	return Account{ID: p.id, Name: p.name, DisplayName: p.display, Bio: p.bio, CreatedAt: Millis(p.createdMS),
		MessageCount: p.messages, FollowersCount: p.followers, FollowingCount: p.following}
}

// Get returns an account that is in use, with the asker's relationship where the asker is known. The error for any other
// is not_found.
func (a *Accounts) Get(ctx context.Context, v Viewer, id UserID) (Account, error) {
	found, err := a.b.accounts(ctx, v, []UserID{id})
	if err != nil {
		return Account{}, err
	}
	if len(found) == 0 {
		return Account{}, notFound("account")
	}
	return found[0], nil
}

// GetMany returns up to 100 accounts in the order asked; those that are not in use are left out. The error for more is
// invalid.
func (a *Accounts) GetMany(ctx context.Context, v Viewer, ids []UserID) ([]Account, error) {
	if err := checkMany(len(ids)); err != nil {
		return nil, err
	}
	return a.b.accounts(ctx, v, ids)
}

func checkMany(n int) error {
	if n > MaxPage {
		return errorf(CodeInvalid, "/ids", "at most %d ids can be asked for at once", MaxPage)
	}
	return nil
}

// Resolve finds the account that a path names: a number, @name, or me. Whether it is in use is for the caller's verb to
// see. Errors: not_found, and token_missing for me where the asker is nobody.
func (a *Accounts) Resolve(ctx context.Context, v Viewer, ref string) (UserID, error) {
	if ref == "me" {
		return v.UserID, v.required()
	}
	if name, ok := strings.CutPrefix(ref, "@"); ok {
		return a.b.userByName(ctx, name)
	}
	return ParseUserID(ref)
}

// required is the error for nobody in particular where the verb is somebody's.
func (v Viewer) required() error {
	if !v.Known() {
		return errorf(CodeTokenMissing, "", "this needs a token")
	}
	return nil
}

// accounts returns the accounts in use among those asked for, in their order. It reads them from the shards: copies are
// of what a message shows of its author, and counters move without telling them.
func (b *Backend) accounts(ctx context.Context, v Viewer, ids []UserID) ([]Account, error) {
	rows, err := b.profileRows(ctx, ids)
	if err != nil {
		return nil, err
	}
	found := make(map[UserID]*profile, len(rows))
	for _, p := range rows {
		found[p.id] = p
	}
	out := make([]Account, 0, len(ids))
	for _, id := range ids {
		if p := found[id]; p.live() {
			out = append(out, p.view())
		}
	}
	if !v.Known() || len(out) == 0 {
		return out, nil
	}
	live := make([]UserID, len(out))
	for i := range out {
		live[i] = out[i].ID
	}
	between, err := b.between(ctx, v.UserID, live)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].Relationship = &between[i]
	}
	return out, nil
}

// Between returns how the asker stands to up to 100 others, as it is at this moment, in the order asked; accounts that
// are not in use are left out. Errors: token_missing, invalid.
func (r *Relations) Between(ctx context.Context, v Viewer, ids []UserID) ([]Relationship, error) {
	if err := v.required(); err != nil {
		return nil, err
	}
	if err := checkMany(len(ids)); err != nil {
		return nil, err
	}
	s := r.b.look(Viewer{})
	if err := s.meet(ctx, ids); err != nil {
		return nil, err
	}
	live := make([]UserID, 0, len(ids))
	for _, id := range ids {
		if s.authors[id].live() {
			live = append(live, id)
		}
	}
	return r.b.between(ctx, v.UserID, live)
}

// between reads the asker's own rows: not a copy, for people look at a relationship to see what they have just done.
func (b *Backend) between(ctx context.Context, me UserID, others []UserID) ([]Relationship, error) {
	out := make([]Relationship, len(others))
	keys := make([]relationKey, 0, 5*len(others))
	for i, other := range others {
		out[i].ID = other
		for _, kind := range []int{relFollow, relFan, relBlock, relBlockedBy, relMute} {
			keys = append(keys, relationKey{me, kind, other})
		}
	}
	if len(keys) == 0 {
		return out, nil
	}
	rows, err := b.relations(ctx, keys)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if !row.live() {
			continue
		}
		for i := range out {
			if out[i].ID == row.key.other {
				out[i].set(row.key.kind)
			}
		}
	}
	return out, nil
}

func (r *Relationship) set(kind int) {
	switch kind {
	case relFollow:
		r.Following = true
	case relFan:
		r.FollowedBy = true
	case relBlock:
		r.Blocking = true
	case relBlockedBy:
		r.BlockedBy = true
	case relMute:
		r.Muting = true
	}
}
