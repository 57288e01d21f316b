package social

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"socialctl/sharding"
)

// NewAccount is an account to be made by an import: without a password, so that nobody can log in to it until an operator
// gives it one. At is since when it has been there; 0 means now.
type NewAccount struct {
	Name, DisplayName string
	At                Millis
}

// Check says why the account could not be made, whoever has its name. Errors: malformed, name_invalid, too_long.
func (n NewAccount) Check() error {
	return cmp.Or(checkName(n.Name), checkText(n.DisplayName, "/display_name", "display name", MaxDisplayRunes))
}

// CreateMany makes the accounts whose names nobody has, in batches, and returns who has each name, in the order given,
// with the number of new ones. It can be run again.
func (a *Accounts) CreateMany(ctx context.Context, list []NewAccount) (ids []UserID, made int, err error) {
	for _, n := range list {
		if err := n.Check(); err != nil {
			return nil, 0, err
		}
	}
	holders, err := a.holders(ctx, list)
	if err != nil {
		return nil, 0, err
	}
	var missing []*accountRow
	given := map[UserID]NewAccount{}
	asked := map[string]bool{}
	for _, n := range list {
		folded := foldName(n.Name)
		if holders[folded] != 0 || asked[folded] {
			continue
		}
		asked[folded] = true
		id, err := a.b.userIDs.Next(ctx)
		if err != nil {
			return nil, 0, err
		}
		missing = append(missing, &accountRow{id: UserID(id), name: n.Name})
		n.DisplayName = cmp.Or(n.DisplayName, n.Name)
		given[UserID(id)] = n
	}
	if err := a.createMany(ctx, missing, given); err != nil {
		return nil, 0, err
	}
	if holders, err = a.holders(ctx, list); err != nil {
		return nil, 0, err
	}
	if err := a.completeClaims(ctx, holders); err != nil {
		return nil, 0, err
	}
	for _, n := range list {
		id := holders[foldName(n.Name)]
		if id == 0 {
			return nil, made, &sharding.UnavailableError{Where: "the shard of the name " + n.Name, Err: errNameOpen}
		}
		if given[id].Name != "" {
			made++
		}
		ids = append(ids, id)
	}
	return ids, made, nil
}

var errNameOpen = fmt.Errorf("the claim to it is still on its way")

func (a *Accounts) createMany(ctx context.Context, list []*accountRow, given map[UserID]NewAccount) error {
	b := a.b
	byOwner := func(acc *accountRow) sharding.Bucket { return b.bucket(acc.id) }
	for chunk := range slices.Chunk(list, maxTxRows) {
		var owed []*effect
		err := writeByShard(ctx, b.Cluster, chunk, byOwner, applyBatch, func(ctx context.Context, tx *sharding.Tx, part []*accountRow) (func(), error) {
			var claims []*effect
			for _, acc := range part {
				since := b.now()
				if at := int64(given[acc.id].At); at > 0 && at < since {
					since = at
				}
				if err := insertAccount(ctx, tx, b.bucket(acc.id), acc.id, acc.name, given[acc.id].DisplayName, "", since); err != nil {
					return nil, err
				}
				claims = append(claims, b.newEffect(acc.id, effClaimName, 0, claimPayload{Name: foldName(acc.name)}))
			}
			return func() { owed = append(owed, claims...) }, b.emit(ctx, tx, claims...)
		})
		if err != nil {
			return fmt.Errorf("store accounts: %w", err)
		}
		b.settle(ctx, owed...)
	}
	return nil
}

// holders reads who has these names, by their folded form.
func (a *Accounts) holders(ctx context.Context, list []NewAccount) (map[string]UserID, error) {
	b := a.b
	byShard := map[*sharding.Shard][]string{}
	for _, n := range list {
		folded := foldName(n.Name)
		s := b.Cluster.ForBucket(b.Cluster.BucketOfText(folded))
		byShard[s] = append(byShard[s], folded)
	}
	out := map[string]UserID{}
	for shard, names := range byShard {
		for part := range slices.Chunk(names, maxKeys) {
			var buckets []sharding.Bucket
			args := make([]any, 0, 2*len(part))
			for _, name := range part {
				bucket := b.Cluster.BucketOfText(name)
				buckets = append(buckets, bucket)
				args = append(args, bucket, []byte(name))
			}
			err := b.Cluster.ReadShard(ctx, shard, buckets, func(ctx context.Context, r *sharding.Reader) error {
				rows, err := r.Query(ctx, `SELECT name, user_id FROM user_name {primary} WHERE `+r.Dialect().In("bucket, name", len(part)), args...)
				if err != nil {
					return err
				}
				defer rows.Close()
				for rows.Next() {
					var name []byte
					var id UserID
					if err := rows.Scan(&name, &id); err != nil {
						return err
					}
					out[string(name)] = id
				}
				return rows.Err()
			})
			if err != nil {
				return nil, fmt.Errorf("look names up: %w", err)
			}
		}
	}
	return out, nil
}

// Holders returns who has each of these names, in the order given; 0 for nobody.
func (a *Accounts) Holders(ctx context.Context, list []NewAccount) ([]UserID, error) {
	found, err := a.holders(ctx, list)
	if err != nil {
		return nil, err
	}
	out := make([]UserID, len(list))
	for i, n := range list {
		out[i] = found[foldName(n.Name)]
	}
	return out, nil
}

// completeClaims brings accounts to life that have their name and do not know it yet, because the run that claimed it was
// killed in between. Their own effects would do it as well, when a worker comes by.
func (a *Accounts) completeClaims(ctx context.Context, holders map[string]UserID) error {
	names := make(map[UserID]string, len(holders))
	ids := make([]UserID, 0, len(holders))
	for name, id := range holders {
		names[id] = name
		ids = append(ids, id)
	}
	rows, err := a.b.profileRows(ctx, ids)
	if err != nil {
		return err
	}
	var claims []*effect
	for _, p := range rows {
		if p.state == accountPending {
			claims = append(claims, a.b.newEffect(p.id, effClaimName, 0, claimPayload{Name: names[p.id]}))
		}
	}
	for part := range slices.Chunk(claims, applyBatch) {
		if err := a.b.applyClaims(ctx, part); err != nil {
			return err
		}
	}
	return nil
}
